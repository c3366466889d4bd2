//! How long the service's claims of due tasks took, as its metrics tell.

use serde_json::Value;

use crate::http::{Ask, Client};
use crate::world::World;

/// The histogram of claims, over all processes.
const BUCKET: &str = "sluse_claim_seconds_bucket{le=\"";

/// How many claims took at most so many seconds, for each bound; the last is infinite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(Vec<(f64, u64)>);

impl Claims {
    /// What all processes have counted so far.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn take(world: &World) -> Result<Self, String> {
        let mut sum = Claims::default();
        for server in &world.servers {
            let ask = Ask { method: "GET", path: "/metrics", headers: "", body: "" };
            let told = Client::new(server.address, "").ask(&ask).await?;
            let Value::String(text) = &told.body else { return Err("metrics that are none".to_owned()) };
            sum.add(text);
        }
        Ok(sum)
    }

    fn add(&mut self, metrics: &str) {
        for line in metrics.lines().filter_map(|line| line.strip_prefix(BUCKET)) {
            let Some((bound, count)) = line.split_once("\"} ") else { continue };
            let (bound, count) = (bound.parse().unwrap_or(f64::INFINITY), count.parse().unwrap_or(0));
            match self.0.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, known)) => *known += count,
                None => self.0.push((bound, count)),
            }
        }
    }

    /// The bound in milliseconds that 99 of a hundred claims since `earlier` kept; nothing of fewer than a hundred.
    pub fn p99_since(&self, earlier: &Claims) -> Option<f64> {
        let before = |bound: f64| {
            earlier.0.iter().find(|(known, _)| known.total_cmp(&bound).is_eq()).map_or(0, |it| it.1)
        };
        let since: Vec<(f64, u64)> =
            self.0.iter().map(|(bound, count)| (*bound, count.saturating_sub(before(*bound)))).collect();
        let all = since.last().map(|(_, count)| *count).filter(|count| *count >= 100)?;
        let kept = since.iter().find(|(_, count)| count * 100 >= all * 99)?;
        Some(kept.0 * 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_that_99_of_a_hundred_kept() {
        let told = |counts: [u64; 3]| {
            let mut claims = Claims::default();
            for (bound, count) in ["0.001", "0.005", "+Inf"].iter().zip(counts) {
                claims.add(&format!("# HELP x\n{BUCKET}{bound}\"}} {count}\n"));
            }
            claims
        };
        let earlier = told([10, 10, 10]);
        assert_eq!(told([109, 110, 110]).p99_since(&earlier), Some(1.0));
        assert_eq!(told([108, 109, 110]).p99_since(&earlier), Some(5.0));
        assert_eq!(told([99, 99, 99]).p99_since(&earlier), None);
        let mut two = told([1, 2, 3]);
        two.add(&format!("{BUCKET}0.001\"}} 4\n"));
        assert_eq!(two.0[0], (0.001, 5));
    }
}
