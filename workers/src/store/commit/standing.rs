//! What of a batch still stands, and what each operation of it says.

use std::collections::BTreeSet;

use workflows::engine::Message;
use workflows::ids::WorkflowId;

use crate::store::{HistoryRow, Move, NewTask, Op, Start, TaskRef, Written};

/// The operations of a batch that no guard has turned down so far.
pub(super) struct Standing<'a> {
    pub(super) ops: &'a [Op],
    pub(super) written: Vec<Written>,
}

/// What a start and a transition have in common.
pub(super) struct Change<'a> {
    /// The transition, unless it is a start.
    pub(super) moved: Option<&'a Move>,
    /// Whose, and of which revision.
    pub(super) history: &'a HistoryRow,
    pub(super) put: &'a [NewTask],
    pub(super) tell: &'a [Message],
}

impl<'a> Standing<'a> {
    /// All, but for those that concern an instance that an earlier one concerns: that is the caller's mistake, and
    /// which of the two should win is not known here.
    pub(super) fn of(ops: &'a [Op]) -> Self {
        let mut standing = Standing { ops, written: vec![Written::Committed; ops.len()] };
        standing.refuse_repeated(|op| Some(op.instance()), Written::Stale);
        standing
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a Op> {
        let standing = self.written.iter().map(|written| *written == Written::Committed);
        self.ops.iter().zip(standing).filter_map(|(op, standing)| standing.then_some(op))
    }

    pub(super) fn moves(&self) -> impl Iterator<Item = &'a Move> {
        self.iter().filter_map(as_move)
    }

    pub(super) fn starts(&self) -> impl Iterator<Item = &'a Start> {
        self.iter().filter_map(|op| match op {
            Op::Start(start) => Some(&**start),
            Op::Move(_) | Op::PutBack(_) | Op::Discard(_) => None,
        })
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'a>> {
        self.iter().filter_map(|op| match op {
            Op::Start(start) => {
                let Start { history, put, tell, .. } = &**start;
                Some(Change { moved: None, history, put, tell })
            }
            Op::Move(m) => Some(Change { moved: Some(m), history: &m.history, put: &m.put, tell: &m.tell }),
            Op::PutBack(_) | Op::Discard(_) => None,
        })
    }

    /// Turns down those that a guard concerns and that the database did not confirm.
    pub(super) fn keep(
        &mut self,
        guarded: impl Fn(&Op) -> bool,
        confirmed: &BTreeSet<WorkflowId>,
        otherwise: Written,
    ) {
        for (op, written) in self.ops.iter().zip(&mut self.written) {
            if *written == Written::Committed && guarded(op) && !confirmed.contains(&op.instance()) {
                *written = otherwise;
            }
        }
    }

    /// Turns down those whose key an earlier one that stands has.
    pub(super) fn refuse_repeated<K: Ord>(&mut self, key: impl Fn(&'a Op) -> Option<K>, otherwise: Written) {
        let mut seen = BTreeSet::new();
        for (op, written) in self.ops.iter().zip(&mut self.written) {
            if *written == Written::Committed
                && let Some(key) = key(op)
                && !seen.insert(key)
            {
                *written = otherwise;
            }
        }
    }
}

/// Of tasks with the same name, the last: it would replace those before it.
pub(super) fn last_of_each_name(put: &[NewTask]) -> impl Iterator<Item = &NewTask> {
    let repeated = |n: usize, task: &NewTask| put.iter().skip(n + 1).any(|later| later.name == task.name);
    put.iter().enumerate().filter(move |(n, task)| !repeated(*n, task)).map(|(_, task)| task)
}

pub(super) fn as_move(op: &Op) -> Option<&Move> {
    match op {
        Op::Move(m) => Some(m),
        Op::Start(_) | Op::PutBack(_) | Op::Discard(_) => None,
    }
}

/// The claim that an operation uses up.
pub(super) fn claim(op: &Op) -> Option<&TaskRef> {
    match op {
        Op::Move(m) => m.consume.as_ref(),
        Op::Discard(task) => Some(task),
        Op::Start(_) | Op::PutBack(_) => None,
    }
}

pub(super) fn heard(op: &Op) -> Option<(&str, &str)> {
    as_move(op)?.heard.as_ref().map(|key| (&*key.source, &*key.event))
}

pub(super) fn start_key(op: &Op) -> Option<(&str, &str)> {
    match op {
        Op::Start(start) => Some((&start.instance.start.scope, &start.instance.start.key)),
        Op::Move(_) | Op::PutBack(_) | Op::Discard(_) => None,
    }
}
