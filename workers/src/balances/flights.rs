//! One read of an account at a time in this process: who comes later waits for the same answer.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::ladder::Missed;
use super::reading::Landed;
use super::store::{Attendance, Holding};

/// The reads under way. The key is the whole account: one that was linked anew is another.
#[derive(Clone, Default)]
pub struct Flights(Arc<Mutex<Running>>);

type Running = HashMap<Holding, Flight>;

/// A read under way.
#[derive(Clone)]
pub struct Flight {
    /// Whether the customer for whom it began is there.
    pub attendance: Attendance,
    landed: watch::Receiver<Option<Landed>>,
}

impl Flights {
    /// The read of this account that is under way, or `read`, which then begins, as a task of its own: it ends even when
    /// nobody waits any more. Says whether it began here.
    pub fn join<F>(
        &self,
        account: &Holding,
        attendance: Attendance,
        read: impl FnOnce() -> F,
    ) -> (bool, Flight)
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(account) {
            return (false, flight.clone());
        }
        let (tell, landed) = watch::channel(None);
        let flight = Flight { attendance, landed };
        flights.insert(account.clone(), flight.clone());
        drop(flights);
        let ended = Ended { flights: self.clone(), account: account.clone() };
        let read = read();
        tokio::spawn(async move {
            let landed = read.await;
            // Whoever asks from here on finds what was stored.
            drop(ended);
            tell.send_replace(Some(landed));
        });
        (true, flight)
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// What it brought.
    pub async fn landed(&mut self) -> Landed {
        match self.landed.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().unwrap_or(Landed::Missed(Missed::Unusable)),
            // The task ended without a word: it panicked, or the process ends.
            Err(_) => Landed::Missed(Missed::Unusable),
        }
    }
}

/// Takes a read out of the list, however it ended.
struct Ended {
    flights: Flights,
    account: Holding,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.account);
    }
}
