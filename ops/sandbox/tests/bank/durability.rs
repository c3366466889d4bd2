use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{KEYS, World, anywhere, client, order};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sluse-sandbox");

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let world = World::open().await;
    world.put("/_control/banks/nordea", json!({ "class": "D", "status": "degraded" })).await;
    let paid = world.pay(KEYS[0], &order("paid")).await;
    world.post(&format!("/_control/payments/{paid}/approve"), json!({})).await;
    world.pay(KEYS[1], &order("open")).await;
    let before = (world.truth("paid").await, world.truth("open").await, world.get("/_control/banks").await);

    let world = world.reopened().await;
    let after = (world.truth("paid").await, world.truth("open").await, world.get("/_control/banks").await);
    assert_eq!(before, after);
    assert_eq!(world.balance("acc-1", "consent-demo-dnb").await, "43230.00");
    let (http, body) = world.ask(KEYS[0], &order("paid")).await;
    assert_eq!((http, &body["paymentId"]), (StatusCode::OK, &json!(paid)));
}

#[tokio::test]
async fn an_execution_that_was_due_while_the_bank_was_down_happens_once() {
    let world = World::open().await;
    world.put("/_control/banks/dnb", json!({ "executionDelayMs": 2500 })).await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    world.post(&format!("/_control/payments/{id}/approve"), json!({})).await;
    let world = world.reopened().await;
    assert_eq!(world.truth("e1").await[0]["executedCount"], 0);
    world.truth_once("e1", |truth| truth[0]["executedCount"] == 1).await;
    let world = world.reopened().await;
    assert_eq!(world.truth("e1").await[0]["executedCount"], 1);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_a_torn_middle_is_refused() {
    let world = World::open().await;
    world.pay(KEYS[0], &order("whole")).await;
    let (ledger, folder) = (world.ledger(), world.folder);
    world.bank.stop().await;
    let whole = std::fs::read(&ledger).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&ledger).unwrap();
    file.write_all(br#"{"n":3,"at":"2026-01-01T00:00:00Z","fact":"payme"#).unwrap();

    let bank = sandbox::start(sandbox::Config::new(anywhere(), &ledger)).await.unwrap();
    assert_eq!(std::fs::read(&ledger).unwrap(), whole);
    let world = World { bank, folder, client: client() };
    world.pay(KEYS[1], &order("next")).await;
    let world = world.reopened().await;
    assert_eq!((world.truth("whole").await.len(), world.truth("next").await.len()), (1, 1));

    world.bank.stop().await;
    let mut spoilt = std::fs::read(&ledger).unwrap();
    spoilt[2] = b'#';
    std::fs::write(&ledger, spoilt).unwrap();
    let error = sandbox::start(sandbox::Config::new(anywhere(), &ledger)).await.unwrap_err();
    assert!(matches!(error, sandbox::Error::Ledger(sandbox::LedgerError::Line { line: 1, .. })), "{error:?}");
}

#[tokio::test]
async fn two_banks_cannot_share_a_ledger() {
    let world = World::open().await;
    let error = sandbox::start(sandbox::Config::new(anywhere(), world.ledger())).await.unwrap_err();
    assert!(matches!(error, sandbox::Error::Ledger(sandbox::LedgerError::InUse(_))), "{error:?}");
}

#[tokio::test]
async fn a_reset_bank_is_new_and_stays_so() {
    let world = World::open().await;
    world.pay(KEYS[0], &order("e1")).await;
    assert_eq!(world.post("/_control/reset", json!({})).await.0, StatusCode::NO_CONTENT);
    assert!(world.truth("e1").await.is_empty());
    let world = world.reopened().await;
    assert!(world.truth("e1").await.is_empty());
    let (_, lines) = world.get("/_control/ledger").await;
    assert!(lines.as_str().unwrap().contains("\"fact\":\"paymentReceived\""), "the record itself is kept");
}

/// The real program, killed if the test ends early.
struct Program(Child);

impl Program {
    fn start(ledger: &Path) -> (Self, String) {
        Self::start_as(Command::new(PROGRAM).arg("--ledger").arg(ledger))
    }

    fn start_as(command: &mut Command) -> (Self, String) {
        let mut child = command.args(["--bind", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("sandbox bank listening on ").unwrap().to_owned();
        (Self(child), url)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_payment_answered_before_a_kill_is_there_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("new/folder/bank.jsonl");
    let client = client();
    let mut answered: Vec<String> = Vec::new();
    for round in 0..3 {
        let (mut program, url) = Program::start(&ledger);
        for id in &answered {
            let truth = client.get(format!("{url}/_control/payments/{id}")).send().await.unwrap();
            assert_eq!(truth.status(), StatusCode::OK, "{id} was answered and is gone");
        }
        let mut paying = Vec::new();
        for payer in 0..8 {
            let (client, url) = (client.clone(), url.clone());
            paying.push(tokio::spawn(async move {
                let mut ids = Vec::new();
                for n in 0_u32.. {
                    let key = format!("0191e0f0-{round:04}-7000-{payer:04}-{n:012}");
                    let request = client
                        .post(format!("{url}/v1/payments/domestic-transfer"))
                        .header("X-Request-ID", key)
                        .header("TPP-Redirect-URI", "https://app.example/cb")
                        .json(&order(&format!("{round}-{payer}-{n}")));
                    let Ok(answer) = request.send().await else { break };
                    let Ok(body) = answer.json::<Value>().await else { break };
                    ids.push(body["paymentId"].as_str().unwrap().to_owned());
                }
                ids
            }));
        }
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        program.0.kill().unwrap();
        for payer in paying {
            answered.extend(payer.await.unwrap());
        }
    }
    assert!(answered.len() > 10, "{} payments is too few to mean anything", answered.len());
    let (_program, url) = Program::start(&ledger);
    let all: Vec<Value> =
        client.get(format!("{url}/_control/payments")).send().await.unwrap().json().await.unwrap();
    let known: std::collections::HashSet<_> =
        all.iter().map(|truth| truth["paymentId"].as_str().unwrap()).collect();
    assert!(answered.iter().all(|id| known.contains(id.as_str())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_answer_and_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("bank.jsonl");
    let client = client();
    // Files of at most a few kilobytes, and an error instead of a signal beyond.
    let limited = r#"trap "" XFSZ; ulimit -f 8; exec "$0" "$@""#;
    let (program, url) =
        Program::start_as(Command::new("sh").args(["-c", limited, PROGRAM, "--ledger"]).arg(&ledger));
    let pay = async |url: &str, n: u32| {
        let request = client
            .post(format!("{url}/v1/payments/domestic-transfer"))
            .header("X-Request-ID", format!("0191e0f0-0000-7000-8000-{n:012}"))
            .header("TPP-Redirect-URI", "https://app.example/cb")
            .json(&order(&format!("e{n}")));
        crate::world::answer(request.send().await.unwrap()).await
    };
    let mut answered = Vec::new();
    for n in 0..100 {
        let (http, body) = pay(&url, n).await;
        if http != StatusCode::CREATED {
            assert_eq!(http, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
            break;
        }
        answered.push(body["paymentId"].clone());
    }
    assert!((1..100).contains(&answered.len()), "{} payments fitted", answered.len());
    assert_eq!(pay(&url, 100).await.0, StatusCode::INTERNAL_SERVER_ERROR, "once in doubt it stays so");
    drop(program);

    let (_program, url) = Program::start(&ledger);
    let all: Vec<Value> =
        client.get(format!("{url}/_control/payments")).send().await.unwrap().json().await.unwrap();
    let known: Vec<_> = all.iter().map(|truth| truth["paymentId"].clone()).collect();
    assert_eq!(known, answered);
    assert_eq!(pay(&url, 100).await.0, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_the_program_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let (mut program, url) = Program::start(&folder.path().join("bank.jsonl"));
    assert_eq!(client().get(format!("{url}/health")).send().await.unwrap().status(), StatusCode::OK);
    let told = Command::new("kill").arg(program.0.id().to_string()).status().unwrap();
    assert!(told.success() && program.0.wait().unwrap().success());
}
