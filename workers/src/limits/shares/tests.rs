use super::super::desk::{Asked, Desk, Need, Terms};
use super::*;

const T0: At = At::EPOCH;

fn node(name: &str) -> NodeId {
    NodeId(name.into())
}

fn limit(per_second: u32, in_flight: u32) -> Limit {
    Limit { per_second, in_flight }
}

fn share(name: &str, holds: Limit, wants: Limit) -> Share {
    Share {
        per_second: holds.per_second,
        in_flight: holds.in_flight,
        wants,
        until: T0.plus(Duration::from_mins(1)),
        ..Share::none(node(name))
    }
}

fn report(obeys: Limit, wants: Limit) -> Report {
    Report { limit: limit(50, 10), obeys, wants, lasts: Duration::from_secs(40) }
}

#[test]
fn parts_are_equal_where_all_want_more_and_what_the_modest_leave_is_for_the_others() {
    for (total, wants, expected) in [
        (49, vec![50], vec![49]),
        (49, vec![50, 50], vec![24, 25]),
        (49, vec![4, 50], vec![4, 45]),
        (49, vec![4, 8], vec![18, 22]),
        (49, vec![4, 30], vec![9, 35]),
        (10, vec![1], vec![8]),
        (2, vec![1], vec![2]),
        (10, vec![10, 0, 10], vec![5, 0, 5]),
        (10, vec![2, 10, 10], vec![2, 4, 4]),
        (7, vec![], vec![]),
        (7, vec![0], vec![0]),
    ] {
        assert_eq!(parts(total, &wants, T0), expected, "{total} among {wants:?}");
    }
}

#[test]
fn where_there_is_less_than_there_are_processes_each_has_its_turn() {
    let mut served = [0; 5];
    for turn in 0..10 {
        let now = T0.plus(TURN * turn);
        for (served, part) in served.iter_mut().zip(parts(2, &[1; 5], now)) {
            *served += part;
        }
    }
    assert_eq!(served, [4; 5]);
}

#[test]
fn a_lone_process_has_all_that_it_wants_but_the_call_that_is_kept_for_a_newcomer() {
    let mine = Share::none(node("a"));
    let first = renew(&mine, &[], &report(limit(0, 0), limit(50, 10)), T0);
    assert_eq!(first.obey, limit(49, 10));
    let second = renew(&Share::none(node("b")), &[first.share], &report(limit(0, 0), limit(50, 10)), T0);
    assert_eq!(second.obey, limit(1, 0));
}

#[test]
fn who_comes_after_a_death_finds_something_while_the_dead_ones_last_second_counts() {
    let wants = limit(8, 2);
    let mut living: Vec<Renewed> = vec![];
    let mut now = T0;
    // Everybody renews until nobody cedes or gets anything any more.
    for name in ["a", "b", "c"].iter().cycle().take(12) {
        now = now.plus(WINDOW);
        let (mine, others): (Vec<Renewed>, Vec<Renewed>) =
            living.drain(..).partition(|one| one.share.node == node(name));
        let none = || Renewed { share: Share::none(node(name)), obey: limit(0, 0) };
        let mine = mine.into_iter().next().unwrap_or_else(none);
        let shares: Vec<Share> = others.iter().map(|other| other.share.clone()).collect();
        let renewed = renew(&mine.share, &shares, &report(mine.obey, wants), now);
        living = others;
        living.push(renewed);
    }
    now = now.plus(WINDOW);
    let buried = |one: Renewed| if one.share.node == node("b") { one.share.given_up(now) } else { one.share };
    let left: Vec<Share> = living.into_iter().map(buried).collect();
    let next = renew(&Share::none(node("d")), &left, &report(limit(0, 0), limit(1, 1)), now);
    assert!(next.obey.per_second >= 6 && next.obey.in_flight >= 2, "{:?} of {left:?}", next.obey);
}

#[test]
fn what_is_not_obeyed_yet_is_held_and_what_was_ceded_counts_for_a_second_more() {
    let wants = limit(50, 10);
    let other = share("b", limit(0, 0), wants);
    let mine = share("a", limit(49, 10), wants);
    let told = renew(&mine, std::slice::from_ref(&other), &report(limit(49, 10), wants), T0);
    assert_eq!((told.obey, told.share.per_second, told.share.in_flight), (limit(24, 5), 49, 10));
    let obeyed = renew(&told.share, &[other], &report(limit(24, 7), wants), T0);
    assert_eq!((obeyed.share.per_second, obeyed.share.in_flight), (24, 7), "two calls above five are open");
    let in_a_second = T0.plus(WINDOW);
    assert_eq!(obeyed.share.rate_held(in_a_second.minus(Duration::from_micros(1))), 49);
    assert_eq!(obeyed.share.rate_held(in_a_second), 24);
}

#[test]
fn a_dead_process_leaves_its_last_second_and_nothing_else() {
    let left = share("a", limit(30, 8), limit(50, 10)).given_up(T0);
    assert_eq!((left.places_held(T0), left.rate_held(T0), left.rate_held(T0.plus(WINDOW))), (0, 30, 0));
    let long_gone = share("a", limit(30, 8), limit(50, 10)).given_up(T0.plus(Duration::from_hours(1)));
    assert_eq!(long_gone.rate_held(T0.plus(Duration::from_hours(1))), 0);
}

/// Three processes, one provider, a store whose answers may be lost, crashes, and clocks of their own: the provider
/// counts. Every process lives by the desk that the product uses.
#[test]
fn whatever_happens_to_three_processes_the_provider_counts_no_call_too_many() {
    let mut calls = 0;
    for seed in 0..24 {
        let mut world = World::new(seed);
        for _ in 0..40_000 {
            world.step();
        }
        world.is_lawful();
        calls += world.began.len();
    }
    assert!(calls > 24 * 40 * 15, "{calls} calls show little");
}

#[test]
fn a_backlog_at_three_processes_uses_nine_tenths_of_the_rate() {
    let mut world = World::new(1);
    world.calm = true;
    while world.now < T0.plus(Duration::from_secs(40)) {
        world.step();
    }
    world.is_lawful();
    let settled = T0.plus(Duration::from_secs(10));
    let used = world.began.iter().filter(|at| **at >= settled).count();
    assert!(used >= 30 * 45, "{used} calls in 30 seconds");
}

const STEP: Duration = Duration::from_millis(1);

struct World {
    seed: u64,
    now: At,
    limit: Limit,
    /// Everybody always wants more, and nothing goes wrong.
    calm: bool,
    stored: Vec<Share>,
    processes: Vec<Process>,
    began: Vec<At>,
    /// The limit that counted when each began.
    limits: Vec<u32>,
    changed_at: At,
}

struct Process {
    node: NodeId,
    desk: Desk,
    /// How far its clock is ahead: the desk's time has nothing to do with the store's.
    ahead: Duration,
    calls: Vec<At>,
    /// An answer of the store on its way.
    answer: Option<(At, Asked, Limit)>,
    /// How many of a thousand moments somebody wants something.
    demand: u64,
    asleep_until: At,
    names: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let limit = limit(50, 10);
        let processes = (0..3)
            .map(|n| Process {
                node: node(&format!("{n}-0")),
                desk: Desk::new(terms(limit), T0),
                ahead: Duration::from_hours(n),
                calls: vec![],
                answer: None,
                demand: 1_000,
                asleep_until: T0,
                names: 0,
            })
            .collect();
        World {
            seed,
            now: T0,
            limit,
            calm: false,
            stored: vec![],
            processes,
            began: vec![],
            limits: vec![],
            changed_at: T0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn step(&mut self) {
        self.now = self.now.plus(STEP);
        if !self.calm {
            self.trouble();
        }
        for n in 0..self.processes.len() {
            self.live(n);
        }
        let open: usize = self.processes.iter().map(|process| process.calls.len()).sum();
        assert!(open <= 10, "{open} at once");
    }

    fn trouble(&mut self) {
        let n = usize::try_from(self.below(3)).unwrap();
        match self.below(8_000) {
            0 => self.processes[n].demand = [0, 2, 20, 1_000][usize::try_from(self.below(4)).unwrap()],
            // It dies, others see it, and it starts again. Its calls are closed with it.
            1 => self.dies(n),
            2 => self.processes[n].asleep_until = self.now.plus(Duration::from_secs(3)),
            3 => self.loses_its_connection(n),
            4 => {
                self.limit.per_second = [50, 10, 30][usize::try_from(self.below(3)).unwrap()];
                self.changed_at = self.now;
                for process in &mut self.processes {
                    process.desk.set(self.limit);
                }
            }
            _ => {}
        }
    }

    fn dies(&mut self, n: usize) {
        self.bury(n);
        let (now, limit) = (self.now, self.limit);
        let process = &mut self.processes[n];
        process.names += 1;
        process.node = node(&format!("{n}-{}", process.names));
        process.desk = Desk::new(terms(limit), now.plus(process.ahead));
        process.calls.clear();
        process.answer = None;
    }

    /// It lives and is taken for dead; its calls have ended by then.
    fn loses_its_connection(&mut self, n: usize) {
        if !self.processes[n].calls.is_empty() {
            return;
        }
        self.processes[n].desk.lose();
        self.bury(n);
    }

    fn bury(&mut self, n: usize) {
        let (now, dead) = (self.now, self.processes[n].node.clone());
        for share in self.stored.iter_mut().filter(|share| share.node == dead) {
            *share = share.given_up(now);
        }
    }

    fn live(&mut self, n: usize) {
        let now = self.now;
        // Calls end at the provider whether the process stands still or not.
        let ended = self.processes[n].calls.extract_if(.., |ends| *ends <= now).count();
        for _ in 0..ended {
            self.processes[n].desk.end();
        }
        if now < self.processes[n].asleep_until {
            return;
        }
        let here = now.plus(self.processes[n].ahead);
        self.hear(n);
        self.ask(n, here);
        if self.below(1_000) >= self.processes[n].demand {
            return;
        }
        if self.processes[n].desk.take(here).is_ok() {
            let lasts = if self.calm { 40 } else { 1 + self.below(250) };
            self.processes[n].calls.push(now.plus(Duration::from_millis(lasts)));
            self.began.push(now);
            let counts =
                if now < self.changed_at.plus(Duration::from_secs(5)) { 50 } else { self.limit.per_second };
            self.limits.push(counts);
        }
    }

    fn hear(&mut self, n: usize) {
        let now = self.now;
        let Some((_, asked, obey)) = self.processes[n].answer.take_if(|(at, ..)| *at <= now) else { return };
        // One answer in twenty never comes.
        if self.calm || self.below(20) > 0 {
            self.processes[n].desk.renewed(&asked, obey, 0);
        }
    }

    fn ask(&mut self, n: usize, here: At) {
        if self.processes[n].answer.is_some() {
            return;
        }
        match self.processes[n].desk.next(here) {
            Need::Surrender => self.bury(n),
            Need::Renewal(at) if at <= here => {
                let process = &mut self.processes[n];
                let asked = process.desk.report(here);
                let me = process.node.clone();
                let (mine, others): (Vec<Share>, Vec<Share>) =
                    self.stored.drain(..).partition(|share| share.node == me);
                let mine = mine.into_iter().next().unwrap_or_else(|| Share::none(me));
                let renewed = renew(&mine, &others, &asked.report, self.now);
                self.stored = others;
                self.stored.push(renewed.share);
                let takes = if self.calm { 5 } else { 1 + self.below(200) };
                self.processes[n].answer =
                    Some((self.now.plus(Duration::from_millis(takes)), asked, renewed.obey));
            }
            Need::Nothing | Need::Renewal(_) => {}
        }
    }

    fn is_lawful(&self) {
        for (n, first) in self.began.iter().enumerate() {
            let window = self.limits[n..].iter().zip(&self.began[n..]);
            let (mut count, mut most) = (0, 0);
            for (limit, at) in window.take_while(|(_, at)| at.since(*first) < SECOND) {
                count += 1;
                most = most.max(*limit);
                let _ = at;
            }
            assert!(count <= most, "{count} calls from {first}, {most} allowed");
        }
    }
}

fn terms(limit: Limit) -> Terms {
    Terms { limit, retry_percent: 10, longest_call: Duration::from_secs(1) }
}
