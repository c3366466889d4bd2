//! The laws of the bench workflow: what is measured with it is as sound as what is sold.

use super::*;
use crate::engine::Cause;
use crate::engine::laws::{Brought, Lawful, names_are_sound, walk};

impl Lawful for Bench {
    /// Nothing happens anywhere else.
    type World = ();

    fn beginning(_: &Order) {}
    fn drift(_: &Order, (): &()) -> Vec<()> {
        vec![]
    }
    fn bring(_: &Order, _: &State, (): &(), _: Step) -> Vec<(Brought, ())> {
        let gave_up = [Cause::NotSent, Cause::Unknown].map(|cause| (Brought::GaveUp(cause), ()));
        gave_up.into_iter().chain([(Brought::Found(Finding::Done(Reply::Nothing)), ())]).collect()
    }
    fn may_fire((): &(), _: Timer) -> bool {
        true
    }
    fn outside(_: &State) -> Vec<Event> {
        vec![Event::Signalled]
    }
    fn judge(_: &Order, _: &State, (): &()) -> Result<(), String> {
        Ok(())
    }
}

const ORDER: Order = Order { patience: Duration::from_mins(5), work: Duration::ZERO };

#[test]
fn the_laws_hold_in_every_situation() {
    let map = walk::<Bench>(&ORDER).unwrap_or_else(|breach| panic!("{}: {:?}", breach.law, breach.path));
    let diagram = map.mermaid();
    for edge in ["initiating --> waiting", "waiting --> confirming", "waiting --> timed_out"] {
        assert!(diagram.contains(edge), "{edge} is missing in\n{diagram}");
    }
    assert!(names_are_sound::<Bench>());
}

#[test]
fn a_signal_counts_whenever_it_comes_and_once() {
    let answered = |step| On::Said(Event::Answered(step));
    let signal = || On::Said(Event::Signalled);
    let to_wait = [answered(Step::Validate), answered(Step::Initiate)];
    let stories = [
        vec![signal(), to_wait[0].clone(), to_wait[1].clone()],
        vec![to_wait[0].clone(), signal(), signal(), to_wait[1].clone()],
        vec![to_wait[0].clone(), to_wait[1].clone(), signal(), signal()],
    ];
    for story in stories {
        let (mut state, _) = Bench::start(&ORDER);
        for on in &story {
            if let Next::Go { state: next, .. } = Bench::on(&ORDER, &state, on.clone(), At::EPOCH) {
                state = next;
            }
        }
        assert_eq!(state, State::Confirming, "{story:?}");
    }
}

#[test]
fn its_lanes_stand_still_with_nobodys_money() {
    for step in [Step::Validate, Step::Initiate, Step::Confirm, Step::Notify] {
        let lane = lane(step);
        let operation = lane.parts().expect("a lane of a provider").2;
        assert!(operation.starts_with("bench_"), "{operation}");
    }
}
