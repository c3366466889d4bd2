//! One remittance, told as it happens.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use workers::engine::Engine;
use workers::store::HistoryRow;
use workflows::ids::{EndToEndId, TransactionId, WorkflowId};
use workflows::time::At;

use super::Failure;
use super::client::Client;

/// How long the whole story may take.
const LONGEST: Duration = Duration::from_mins(1);

/// Provisions, sends, approves, and follows one remittance to its end; then asks the bank.
pub(super) async fn tell(client: &Client, engine: &Engine) -> Result<(), Failure> {
    tokio::time::timeout(LONGEST, remittance(client, engine))
        .await
        .map_err(|_| "it took longer than a minute")?
}

async fn remittance(client: &Client, engine: &Engine) -> Result<(), Failure> {
    client.provision().await?;
    let began = engine.now();
    println!("    0 ms  POST /v1/transactions/remittance  2000.00 NOK to Marko Petrovic");
    let started = client.remit(&format!("dev-{:032x}", engine.ids().random())).await?;
    let transaction: TransactionId = text(&started, "/id")?.parse()?;
    let answered = engine.now().since(began).as_millis();
    println!(
        "{answered:>5} ms  answered: {} / {}, fee {} {}, Marko receives {} {}",
        text(&started, "/status")?,
        text(&started, "/phase")?,
        text(&started, "/fee")?,
        text(&started, "/currency")?,
        text(&started, "/receiveAmount")?,
        text(&started, "/receiveCurrency")?,
    );
    let (last, ended) = follow(client, engine, transaction, began).await?;
    println!("{:>5} ms  end to end, the bank's approval included\n", ended.since(began).as_millis());
    judge(client, transaction, &last).await
}

/// Prints each transition as the public stream brings it, and plays the payer when the bank wants an approval. Answers
/// the last one and its time.
async fn follow(
    client: &Client,
    engine: &Engine,
    transaction: TransactionId,
    began: At,
) -> Result<(Value, At), Failure> {
    let mut stream = client.events(&transaction.to_string()).await?.bytes_stream();
    let (mut unread, mut last, mut approved) = (String::new(), (Value::Null, began), false);
    while let Some(chunk) = stream.next().await {
        unread.push_str(std::str::from_utf8(&chunk?)?);
        while let Some((event, rest)) = unread.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data:")).map(str::trim);
            let seen = data.map(serde_json::from_str::<Value>).transpose()?;
            unread = rest.to_owned();
            let Some(seen) = seen else { continue };
            let at = print(engine, transaction, &seen, began).await?;
            if text(&seen, "/phase")? == "awaiting_sca" && !approved {
                approved = true;
                let link = text(&seen, "/scaRedirect/href")?.to_owned();
                println!("           … approving at the bank: {link}");
                client.approve(&link).await?;
            }
            last = (seen, at);
        }
    }
    Ok(last)
}

async fn print(engine: &Engine, transaction: TransactionId, seen: &Value, began: At) -> Result<At, Failure> {
    let seq = seen.pointer("/seq").and_then(Value::as_i64).ok_or("a transition without a number")?;
    let rows = engine.history(WorkflowId::from(transaction), seq - 1, 1).await?;
    let row = rows.first().ok_or("a transition without history")?;
    println!(
        "{:>5} ms  {:<10} {:<13} {}",
        row.at.since(began).as_millis(),
        text(seen, "/status")?,
        text(seen, "/phase")?,
        cause(row)
    );
    Ok(row.at)
}

/// What caused a transition: a call to the provider with its time, or what was said.
fn cause(row: &HistoryRow) -> String {
    if row.step.is_empty() {
        return format!("{} said {}", row.actor, row.occurrence);
    }
    let spent = Duration::from_micros(u64::try_from(row.latency_us).unwrap_or(0));
    format!("bank call {:<9} attempt {}, {:.1} ms", row.step, row.attempt, spent.as_secs_f64() * 1_000.0)
}

/// The bank has the last word.
async fn judge(client: &Client, transaction: TransactionId, last: &Value) -> Result<(), Failure> {
    let end_to_end = EndToEndId::of(transaction);
    let payments = client.at_the_bank(end_to_end.as_str()).await?;
    let [payment] = payments.as_slice() else {
        return Err(format!("the bank has {} payments under {end_to_end}", payments.len()).into());
    };
    let executions = client.executions(text(payment, "/paymentId")?).await?;
    for line in &executions {
        println!("the bank's ledger: {line}");
    }
    let executed = payment.pointer("/executedCount").and_then(Value::as_u64);
    match (text(last, "/status")?, executed, executions.len()) {
        ("completed", Some(1), 1) => Ok(()),
        (status, executed, lines) => {
            Err(format!("it is {status}, executed {executed:?} times, with {lines} ledger lines").into())
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, Failure> {
    value.pointer(pointer).and_then(Value::as_str).ok_or_else(|| format!("{pointer} is missing").into())
}
