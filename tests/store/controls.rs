//! Controls: small documents under compare-and-swap, and the one number that grows with every change.

use futures::future::join_all;
use workers::controls::{Change, Changed, ControlRow, Kind};
use workers::store::{Look, Overview};
use workflows::time::At;

use crate::made::{T0, TICK};
use crate::subject::Subject;

pub async fn a_control_is_written_over_the_version_it_was_decided_on(on: &Subject) {
    assert_eq!(on.store.controls().await.unwrap(), (0, vec![]));
    assert_eq!(write(on, "a", 0, Some("1"), T0).await, Changed::Written(1));
    assert_eq!(write(on, "b", 0, Some("2"), T0).await, Changed::Written(2));
    for (version, document) in [(0, Some("x")), (2, Some("x")), (2, None)] {
        assert_eq!(write(on, "a", version, document, T0).await, Changed::Stale, "{version} {document:?}");
    }
    let later = T0.plus(TICK);
    assert_eq!(
        write(on, "a", 1, Some("3"), later).await,
        Changed::Written(3),
        "what is stale costs no revision"
    );
    let expected = vec![row("a", "3", 3, later), row("b", "2", 2, T0)];
    assert_eq!(read(on).await, (3, expected));
}

pub async fn a_control_that_went_and_came_again_is_another_one(on: &Subject) {
    assert_eq!(write(on, "a", 0, Some("1"), T0).await, Changed::Written(1));
    assert_eq!(write(on, "a", 1, None, T0).await, Changed::Written(2));
    assert_eq!(read(on).await, (2, vec![]));
    assert_eq!(write(on, "a", 1, None, T0).await, Changed::Stale, "it is gone");
    assert_eq!(write(on, "a", 0, Some("2"), T0).await, Changed::Written(3));
    assert_eq!(
        write(on, "a", 1, Some("old"), T0).await,
        Changed::Stale,
        "whoever knew the first does not know it"
    );
    assert_eq!(read(on).await, (3, vec![row("a", "2", 3, T0)]));
}

pub async fn of_concurrent_changes_of_one_version_one_is_written(on: &Subject) {
    for version in [0, 1] {
        let all = (0..8).map(|n| async move { write(on, "a", version, Some(&n.to_string()), T0).await });
        let written = join_all(all).await.into_iter().filter(|changed| *changed != Changed::Stale).count();
        assert_eq!(written, 1, "over version {version}");
    }
    assert_eq!(on.store.controls_revision().await.unwrap(), 2);
}

pub async fn the_revision_is_told_with_the_lanes(on: &Subject) {
    assert_eq!(on.store.overview(Look::AtLanes).await.unwrap(), Overview::default());
    write(on, "a", 0, Some("1"), T0).await;
    assert_eq!(on.store.overview(Look::AtLanes).await.unwrap().controls, 1, "without work as well");
    on.commit((1..=3).map(crate::made::start)).await;
    let overview = on.store.overview(Look::AtLanes).await.unwrap();
    assert_eq!((overview.controls, overview.lanes.is_empty()), (1, false));
    assert_eq!(on.store.controls_revision().await.unwrap(), 1, "work is no change");
}

async fn write(on: &Subject, subject: &str, version: i64, document: Option<&str>, now: At) -> Changed {
    let document = document.map(Into::into);
    let change = Change { kind: Kind::Switch, subject: subject.into(), version, document };
    on.store.change_control(&change, now).await.unwrap()
}

async fn read(on: &Subject) -> (i64, Vec<ControlRow>) {
    let (revision, mut rows) = on.store.controls().await.unwrap();
    rows.sort_by(|one, other| one.subject.cmp(&other.subject));
    (revision, rows)
}

fn row(subject: &str, document: &str, version: i64, updated_at: At) -> ControlRow {
    let (subject, document) = (subject.into(), document.into());
    ControlRow { kind: Kind::Switch, subject, document, version, updated_at }
}
