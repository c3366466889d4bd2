//! What people decide and providers push.

use std::time::Duration;

use workers::actions::Action;
use workers::approvals::{Asked, Decided, Decision, Outcome, Request, Rule, Standing, Verdict, Which};
use workers::notices::Notice;
use workers::store::{Op, Written};
use workflows::ids::ApprovalId;
use workflows::time::At;

use crate::made::{T0, TICK, event, id, next, start};
use crate::subject::Subject;

const DAY: Duration = Duration::from_hours(24);

pub async fn a_request_is_filed_on_the_revision_that_was_seen_and_one_at_a_time(on: &Subject) {
    on.commit([start(1), start(2)]).await;
    let ask = async |request: &Request| on.approvals.ask(request).await.unwrap();
    assert_eq!(ask(&Request { revision: 2, ..request(1, 1) }).await, Asked::Moved);
    assert_eq!(ask(&request(1, 9)).await, Asked::Moved, "there is no such instance");
    assert_eq!(ask(&request(1, 1)).await, Asked::Filed);
    assert_eq!(ask(&request(2, 1)).await, Asked::Open(ApprovalId::new(1)));
    assert_eq!(ask(&request(3, 2)).await, Asked::Filed, "another instance is another matter");
    let late = Request { created_at: T0.plus(DAY), expires_at: T0.plus(DAY * 2), ..request(4, 1) };
    assert_eq!(ask(&late).await, Asked::Filed, "the first one has expired");

    let stored = on.approvals.approval(ApprovalId::new(1)).await.unwrap().unwrap();
    assert_eq!((&stored.request, stored.is_genuine()), (&request(1, 1), true));
    assert_eq!(on.approvals.approval(ApprovalId::new(8)).await.unwrap(), None);
    for (standing, instance, before, limit, expected) in [
        (None, None, None, 10, vec![4, 3, 1]),
        (None, None, Some(4), 1, vec![3]),
        (None, Some(1), None, 10, vec![4, 1]),
        (Some(Standing::Pending), None, None, 10, vec![4]),
        (Some(Standing::Expired), None, None, 10, vec![3, 1]),
        (Some(Standing::Applied), None, None, 10, vec![]),
    ] {
        let (instance, before) = (instance.map(id), before.map(ApprovalId::new));
        let which = Which { standing, instance, before, now: T0.plus(DAY), limit };
        let found = on.approvals.approvals(&which).await.unwrap();
        let ids: Vec<_> = found.iter().map(|approval| approval.request.id.as_u128()).collect();
        assert_eq!(ids, expected, "{which:?}");
    }
}

pub async fn a_decision_is_made_once_by_another_person_on_the_revision_that_was_checked(on: &Subject) {
    use Verdict::{Approved, Rejected};
    on.commit([start(1)]).await;
    on.approvals.ask(&request(1, 1)).await.unwrap();
    let moved = next(&on.load(1).await.unwrap());
    assert_eq!(on.apply(moved).await, Written::Committed);
    let decide = async |by: &str, verdict, at, revision| {
        on.approvals.decide(ApprovalId::new(1), &decision(by, verdict, at), revision).await.unwrap()
    };
    for (by, verdict, at, revision, rule) in [
        ("ola", Approved, T0, 2, Rule::OwnRequest),
        ("OLA ", Approved, T0, 2, Rule::OwnRequest),
        ("eva", Approved, T0, 1, Rule::Moved),
        ("eva", Approved, T0.plus(DAY), 2, Rule::Expired),
        ("eva", Rejected, T0.plus(DAY), 2, Rule::Expired),
    ] {
        assert_eq!(decide(by, verdict, at, revision).await, Decided::Forbidden(rule), "{by} {verdict:?}");
    }
    let Decided::Done(decided) = decide("eva", Approved, T0, 2).await else { panic!("it is forbidden") };
    let stored = on.approvals.approval(ApprovalId::new(1)).await.unwrap().unwrap();
    assert_eq!((&stored, stored.decision.as_ref()), (&*decided, Some(&decision("eva", Approved, T0))));
    for (by, verdict) in [("eva", Approved), ("erik", Approved), ("erik", Rejected)] {
        assert_eq!(decide(by, verdict, T0, 2).await, Decided::Forbidden(Rule::AlreadyDecided));
    }
    let unknown = on.approvals.decide(ApprovalId::new(9), &decision("eva", Approved, T0), 2).await.unwrap();
    assert_eq!(unknown, Decided::NotFound);
}

pub async fn of_many_who_decide_at_once_one_does(on: &Subject) {
    on.commit([start(1)]).await;
    on.approvals.ask(&request(1, 1)).await.unwrap();
    let deciders: Vec<_> = (0..8)
        .map(|n| {
            let approvals = std::sync::Arc::clone(&on.approvals);
            let verdict = if n % 2 == 0 { Verdict::Approved } else { Verdict::Rejected };
            let decision = decision(&format!("eva {n}"), verdict, T0);
            tokio::spawn(async move { approvals.decide(ApprovalId::new(1), &decision, 1).await.unwrap() })
        })
        .collect();
    let mut done = 0;
    for decider in deciders {
        match decider.await.unwrap() {
            Decided::Done(_) => done += 1,
            late @ (Decided::Forbidden(_) | Decided::NotFound) => {
                assert_eq!(late, Decided::Forbidden(Rule::AlreadyDecided));
            }
        }
    }
    assert_eq!(done, 1);
}

pub async fn an_approval_is_owed_until_its_result_is_recorded(on: &Subject) {
    on.commit([start(1), start(2)]).await;
    for n in [1, 2] {
        on.approvals.ask(&request(n, n)).await.unwrap();
    }
    assert!(!on.notices.owed(T0).await.unwrap(), "nobody decided");
    let (one, two) = (ApprovalId::new(1), ApprovalId::new(2));
    on.approvals.decide(one, &decision("eva", Verdict::Approved, T0), 1).await.unwrap();
    on.approvals.decide(two, &decision("eva", Verdict::Rejected, T0), 1).await.unwrap();
    let owed = on.approvals.to_apply(10).await.unwrap();
    assert_eq!(owed.iter().map(|approval| approval.request.id).collect::<Vec<_>>(), [one]);
    assert!(on.notices.owed(T0).await.unwrap());
    assert!(on.approvals.applied(one, Outcome::Applied, T0).await.unwrap());
    assert!(!on.approvals.applied(one, Outcome::Void, T0).await.unwrap(), "the first result counts");
    assert!(!on.approvals.applied(two, Outcome::Applied, T0).await.unwrap(), "it was rejected");
    assert!(!on.notices.owed(T0).await.unwrap());
    let stored = on.approvals.approval(one).await.unwrap().unwrap();
    assert_eq!((stored.standing(T0), stored.result), (Standing::Applied, Some((Outcome::Applied, T0))));
}

pub async fn an_action_is_kept_with_its_reason(on: &Subject) {
    let action = |n: u128, subject: &str| Action {
        id: n,
        at: T0,
        actor: "ola".to_owned(),
        role: "operator".to_owned(),
        verb: "cancel".to_owned(),
        subject: subject.to_owned(),
        reason: format!("because\nof \"{n}\" & 'so on'"),
        expires_at: (n == 3).then(|| T0.plus(TICK)),
    };
    for action in [action(1, "a"), action(2, "b"), action(3, "a")] {
        on.actions.record(&action).await.unwrap();
    }
    assert_eq!(on.actions.actions("a", 10).await.unwrap(), [action(3, "a"), action(1, "a")]);
    assert_eq!(on.actions.actions("a", 1).await.unwrap(), [action(3, "a")]);
    assert_eq!(on.actions.actions("c", 10).await.unwrap(), []);
}

pub async fn a_notice_is_kept_once_and_handled_once(on: &Subject) {
    assert!(on.notices.receive(&notice("e1", T0)).await.unwrap());
    let other = Notice { body: "other".to_owned(), ..notice("e1", T0.plus(TICK)) };
    assert!(!on.notices.receive(&other).await.unwrap());
    assert_eq!(on.notices.notice("bank", "e1").await.unwrap(), Some(notice("e1", T0)), "the first one stays");
    let nameless = Notice { reference: None, ..notice("e2", T0.plus(TICK)) };
    assert!(on.notices.receive(&nameless).await.unwrap());

    assert_eq!(on.notices.due(T0, 10).await.unwrap(), [notice("e1", T0)]);
    assert_eq!(on.notices.due(T0.plus(TICK), 10).await.unwrap().len(), 2);
    assert_eq!(on.notices.due(T0.plus(TICK), 1).await.unwrap(), [notice("e1", T0)]);
    on.notices.put_off("bank", "e1", T0.plus(TICK * 3)).await.unwrap();
    assert_eq!(on.notices.due(T0.plus(TICK), 10).await.unwrap(), std::slice::from_ref(&nameless));
    assert!(!on.notices.owed(T0).await.unwrap() && on.notices.owed(T0.plus(TICK)).await.unwrap());

    assert!(on.notices.handled("bank", "e1", "told", T0).await.unwrap());
    assert!(!on.notices.handled("bank", "e1", "ignored", T0).await.unwrap(), "the first word counts");
    on.notices.put_off("bank", "e1", T0).await.unwrap();
    assert_eq!(on.notices.due(T0.plus(TICK * 9), 10).await.unwrap(), [nameless]);
    let handled = on.notices.notice("bank", "e1").await.unwrap().unwrap().handled;
    assert_eq!(handled, Some(("told".to_owned(), T0)));
    assert_eq!(on.notices.notice("bank", "e9").await.unwrap(), None);
}

pub async fn an_event_that_was_heard_is_found(on: &Subject) {
    on.commit([start(1)]).await;
    assert_eq!(on.store.heard(&event("e")).await.unwrap(), None);
    let mut step = next(&on.load(1).await.unwrap());
    step.heard = Some(event("e"));
    on.commit([Op::Move(Box::new(step))]).await;
    assert_eq!(on.store.heard(&event("e")).await.unwrap(), Some(id(1)));
    let backlog = on.store.backlog().await.unwrap();
    let counted: Vec<_> = backlog.iter().map(|lane| (lane.waiting, lane.oldest_at)).collect();
    assert_eq!(counted, [(1, Some(T0))], "the start's own task waits");
}

fn request(n: u128, instance: u128) -> Request {
    Request {
        id: ApprovalId::new(n),
        action: "resolve".to_owned(),
        proposal: r#"{"a":"b"}"#.to_owned(),
        instance: id(instance),
        revision: 1,
        target: "in doubt".to_owned(),
        requested_by: "ola".to_owned(),
        reason: "why".to_owned(),
        evidence: "line 17\n\"quoted\"; drop table approvals".to_owned(),
        created_at: T0,
        expires_at: T0.plus(DAY),
    }
}

fn decision(by: &str, verdict: Verdict, at: At) -> Decision {
    Decision { verdict, by: by.to_owned(), reason: "read it".to_owned(), at }
}

fn notice(event: &str, at: At) -> Notice {
    Notice {
        source: "bank".to_owned(),
        event: event.to_owned(),
        reference: Some("pmt-1".to_owned()),
        body: "{}".to_owned(),
        received_at: at,
        due_at: at,
        handled: None,
    }
}
