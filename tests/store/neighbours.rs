//! The processes on one database: what each holds of a provider, and what is left of those that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use workers::limits::Limit;
use workers::limits::shares::{Report, WINDOW};
use workers::store::{Granted, Look, Neighbours, NodeId, Op};

use crate::made::{LEASE, T0, id, lane, node, order, start};
use crate::subject::Subject;

const LIMIT: Limit = Limit { per_second: 50, in_flight: 10 };
const NOTHING: Limit = Limit { per_second: 0, in_flight: 0 };
/// What one of two hungry processes ends up with, the call that is kept for a newcomer aside.
const HALF: Limit = Limit { per_second: 24, in_flight: 5 };

pub async fn shares_of_one_provider_never_add_up_to_more_than_its_limit(on: &Subject) {
    let first = hungry(on, "a", NOTHING).await.obey;
    assert_eq!(first, Limit { per_second: 49, in_flight: 10 });
    let second = hungry(on, "b", NOTHING).await.obey;
    assert_eq!(second, Limit { per_second: 1, in_flight: 0 });
    // The first is told to do with less, and until it says that it does, the rest is its own.
    assert_eq!(hungry(on, "a", first).await.obey, HALF);
    assert_eq!(hungry(on, "b", second).await.obey, second);
    assert_eq!(hungry(on, "a", HALF).await.obey, HALF);
    assert_eq!(
        hungry(on, "b", second).await.obey,
        Limit { in_flight: 5, ..second },
        "places are free at once"
    );
    tokio::time::sleep(WINDOW).await;
    let second = hungry(on, "b", Limit { in_flight: 5, ..second }).await.obey;
    assert_eq!(second, Limit { per_second: 25, in_flight: 5 }, "calls a second are after a second");
}

pub async fn a_share_that_is_given_up_is_free_but_for_its_last_second(on: &Subject) {
    hungry(on, "a", NOTHING).await;
    on.neighbours.give_up_share("bank", &node("a")).await.unwrap();
    assert_eq!(hungry(on, "b", NOTHING).await.obey, Limit { per_second: 1, in_flight: 10 });
    tokio::time::sleep(WINDOW).await;
    let all = Limit { per_second: 49, in_flight: 10 };
    assert_eq!(hungry(on, "b", Limit { per_second: 1, in_flight: 10 }).await.obey, all);
}

pub async fn providers_and_their_budgets_are_apart(on: &Subject) {
    let all = Limit { per_second: 49, in_flight: 10 };
    for provider in ["bank", "other"] {
        let granted =
            on.neighbours.renew_share(provider, &node("a"), &report(NOTHING), -7_000).await.unwrap();
        assert_eq!(granted, Granted { obey: all, balance: 93_000 });
    }
}

pub async fn repetitions_are_counted_over_all_nodes(on: &Subject) {
    let table = [("a", 5_000, 100_000), ("a", -30_000, 70_000), ("b", -50_000, 20_000), ("a", -50_000, 0)];
    for (name, untold, expected) in table.into_iter().chain([("b", 300, 300)]) {
        let granted = on.neighbours.renew_share("bank", &node(name), &report(NOTHING), untold).await;
        assert_eq!(granted.unwrap().balance, expected, "{name} tells {untold}");
    }
}

pub async fn a_node_that_leaves_leaves_its_claims_and_places(on: &Subject) {
    on.commit([start(1), start(2)]).await;
    let now = on.store.clock().now();
    let room = [(lane("x"), 1)];
    let (left, kept) = (
        on.store.claim(&room, &node("a"), now, LEASE).await.unwrap().remove(0),
        on.store.claim(&room, &node("b"), now, LEASE).await.unwrap().remove(0),
    );
    hungry(on, "a", NOTHING).await;
    on.neighbours.leave(&node("a")).await.unwrap();
    let again = on.store.claim(&[(lane("x"), 9)], &node("b"), on.store.clock().now(), LEASE).await.unwrap();
    let found: Vec<_> = again.iter().map(|claimed| (claimed.task.instance, claimed.losses)).collect();
    assert_eq!(found, [(left.task.instance, 1)], "and not {}", kept.task.instance);
    assert_eq!(hungry(on, "b", NOTHING).await.obey.in_flight, 10);
}

pub async fn many_nodes_at_once_get_no_more_than_there_is(on: &Subject) {
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..8 {
        let neighbours = Arc::clone(&on.neighbours);
        asking.spawn(async move {
            let (name, mut obeys) = (node(&format!("n{n}")), NOTHING);
            for _ in 0..10 {
                obeys = neighbours.renew_share("bank", &name, &report(obeys), 0).await.unwrap().obey;
            }
            (name, obeys)
        });
    }
    let held: BTreeMap<Arc<str>, Limit> =
        asking.join_all().await.into_iter().map(|(name, held)| (name.0, held)).collect();
    let sum = |of: fn(&Limit) -> u32| held.values().map(of).sum::<u32>();
    assert!(sum(|held| held.per_second) <= LIMIT.per_second, "{held:?}");
    assert!(sum(|held| held.in_flight) <= LIMIT.in_flight, "{held:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_buries_who_lives_no_more() {
    the_dead_are_buried_and_the_living_are_not(&Subject::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_buries_who_lives_no_more() {
    the_dead_are_buried_and_the_living_are_not(&Subject::postgres().await).await;
}

async fn the_dead_are_buried_and_the_living_are_not(on: &Subject) {
    let (dying, _) = lives(on, "dying").await;
    let (_living, _) = lives(on, "living").await;
    on.commit([start(1), Op::Start(Box::new(order(2)))]).await;
    let claimed =
        on.store.claim(&[(lane("x"), 1)], &node("dying"), T0, Duration::from_hours(99_999_999)).await;
    assert_eq!(claimed.unwrap()[0].task.instance, id(1));
    hungry(on, "dying", NOTHING).await;
    let died = async |look| on.store.overview(look).await.unwrap().somebody_died;
    assert!(!died(Look::AtNodesToo).await, "both live");
    assert_eq!(on.neighbours.bury(&node("living")).await.unwrap(), 0, "both live");
    dying.abort();
    // The server hears of the closed connection a moment later.
    let noticed = async {
        while !died(Look::AtNodesToo).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), noticed).await.expect("it is dead");
    assert!(!died(Look::AtLanes).await, "nobody looked");
    assert_eq!(on.neighbours.bury(&node("living")).await.unwrap(), 1);
    assert!(!died(Look::AtNodesToo).await, "it is buried");
    let now = on.store.clock().now();
    let again = on.store.claim(&[(lane("x"), 9)], &node("living"), now, LEASE).await.unwrap();
    assert_eq!(again.iter().find(|claimed| claimed.task.instance == id(1)).unwrap().losses, 1);
    assert_eq!(hungry(on, "living", NOTHING).await.obey.in_flight, 10);
    assert_eq!(on.neighbours.bury(&node("living")).await.unwrap(), 0, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_connection_is_cut_knows_it_and_comes_back_under_its_name() {
    let on = Subject::postgres().await;
    let (_living, mut alive) = lives(&on, "cut").await;
    let cut = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted \
               and database = (select oid from pg_database where datname = current_database())";
    on.raw(cut).await.unwrap();
    let heard = async {
        alive.wait_for(|alive| !alive).await.expect("it is told");
        alive.wait_for(|alive| *alive).await.expect("it comes back");
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("soon");
    assert_eq!(on.neighbours.bury(&node("other")).await.unwrap(), 0, "it lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_knows_at_once_that_whoever_was_there_before_is_dead() {
    let on = Subject::sqlite().await;
    let (living, _) = lives(&on, "before").await;
    on.commit([start(1)]).await;
    on.store.claim(&[(lane("x"), 1)], &node("before"), T0, Duration::from_hours(99_999_999)).await.unwrap();
    hungry(&on, "before", NOTHING).await;
    living.abort();
    assert!(living.await.unwrap_err().is_cancelled());
    let (url, files) = on.closed().await;
    let on = Subject::opened(url, files).await;
    let claimed = on.store.claim(&[(lane("x"), 1)], &node("after"), on.store.clock().now(), LEASE).await;
    assert_eq!(claimed.unwrap()[0].losses, 1);
    assert_eq!(hungry(&on, "after", NOTHING).await.obey.in_flight, 10);
}

/// A node that shows that it lives, until the task is aborted.
async fn lives(on: &Subject, name: &str) -> (JoinHandle<()>, watch::Receiver<bool>) {
    let (sender, mut alive) = watch::channel(false);
    let (neighbours, name): (Arc<dyn Neighbours>, NodeId) = (Arc::clone(&on.neighbours), node(name));
    let living = tokio::spawn(async move { neighbours.live(&name, &sender).await });
    let shown = alive.wait_for(|alive| *alive);
    tokio::time::timeout(Duration::from_secs(20), shown).await.expect("soon").expect("it lives");
    (living, alive)
}

async fn hungry(on: &Subject, name: &str, obeys: Limit) -> Granted {
    on.neighbours.renew_share("bank", &node(name), &report(obeys), 0).await.unwrap()
}

fn report(obeys: Limit) -> Report {
    Report { limit: LIMIT, obeys, wants: LIMIT, lasts: Duration::from_secs(40) }
}
