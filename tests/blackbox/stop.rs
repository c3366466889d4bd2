//! A service that is asked to stop does not leave its bank in the middle of a sentence. What becomes of payments when
//! processes are killed instead is tried by `ops/crash`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::client::{Customer, REMITTANCE, unique};
use crate::on_both_databases;
use crate::patience::eventually;
use crate::service::{Kind, World};
use crate::watch::events;

on_both_databases! {
    a_service_that_is_asked_to_stop_ends_its_steps_first;
}

/// In-flight requests to the bank are heard to their end, so that nothing is in doubt because of a deployment: with a
/// bank that promises nothing about repeated requests, that is what would show.
async fn a_service_that_is_asked_to_stop_ends_its_steps_first(kind: Kind) {
    let world = Arc::new(World::with(kind, &[("NEONOMICS_SAFE_REPLAY", "false")]));
    let branch = world.bank.open_branch("stopping").await;
    branch.fault(json!({ "operation": "initiate", "kind": "latency", "latencyMs": 1500 })).await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    let amounts: Vec<_> = (0..20).map(|number| format!("{}.00", 1000 + number)).collect();
    let starts = join_all(amounts.iter().map(async |amount| {
        let request = kari.app.request(Method::POST, REMITTANCE).header("Prefer", "wait=0");
        let request = request.header("Idempotency-Key", format!("key-{}", unique()));
        crate::client::answer(request.json(&kari.order(amount))).await.is(202).word("id")
    }));
    let ids = starts.await;
    let in_flight =
        async || branch.calls().await["operations"]["initiate"]["inFlight"].as_u64().unwrap_or_default();
    let sent =
        eventually("initiations in flight", async || Some(in_flight().await).filter(|count| *count >= 5))
            .await;
    let code = blocking(&world, |world| world.service.stop()).await;
    assert_eq!(code, Some(0), "the exit code after SIGTERM");
    assert_eq!(in_flight().await, 0, "a request to the bank was cut off; {sent} were in flight");
    blocking(&world, |world| world.service.restart()).await;
    for (id, amount) in ids.iter().zip(&amounts) {
        let payment = eventually("a payment at the bank", async || {
            branch.truth(&kari.payee, amount).payments.first().cloned()
        });
        assert!(branch.decide(&payment.await, "approve").await);
        kari.once(id, "completed").await;
        let story = events(&kari.app, id, None, Duration::from_secs(10)).await;
        let phases: Vec<_> =
            story.iter().map(|(_, body)| body["phase"].as_str().unwrap().to_owned()).collect();
        assert!(!phases.contains(&"in_doubt".to_owned()), "{id}: {phases:?}");
        let truth = branch.truth(&kari.payee, amount);
        assert_eq!((truth.executed, truth.keys.len()), (1, 1), "{truth:?}");
    }
}

/// Does something that takes a while to a process, while the clients go on.
async fn blocking<T: Send + 'static>(
    world: &Arc<World>,
    act: impl FnOnce(&World) -> T + Send + 'static,
) -> T {
    let world = Arc::clone(world);
    tokio::task::spawn_blocking(move || act(&world)).await.expect("it does what it should")
}
