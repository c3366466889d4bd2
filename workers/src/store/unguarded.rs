//! Statements of a batch as somebody would write them who forgot a guard: for the tests that plant mistakes with money.
//! In every other build nothing refers to them.

use workflows::planted;

use super::statement::Batched;
use super::statement::Column::{Int, Text};

/// Which guards may be missing.
const REVISION: &str = "no guard on the revision";
const CLAIM: &str = "no guard on the claim";

/// A statement that guards a revision, unless that is missing; and whether it does: without, numbers of rows say nothing.
pub(super) fn revision(guarded: &'static Batched, unguarded: &'static Batched) -> (&'static Batched, bool) {
    if planted::is(REVISION) { (unguarded, false) } else { (guarded, true) }
}

/// The same of one that guards a claim.
pub(super) fn claim(guarded: &'static Batched, unguarded: &'static Batched) -> (&'static Batched, bool) {
    if planted::is(CLAIM) { (unguarded, false) } else { (guarded, true) }
}

pub(super) static LOCK: Batched = Batched {
    columns: &[Text("id"), Int("seq")],
    sql: "/* lock any revisions */ with {d} select i.id from d join instances i on i.id = d.id",
    returning: "",
};

pub(super) static REPLACE: Batched = Batched {
    columns: super::commit::REPLACE.columns,
    sql: "/* replace any */ with {d} \
          update tasks set name = d.name, born = d.born, lane = d.lane, due_at = d.due_at, \
          attempts = d.claims, losses = 0, doubt = 0, fence = d.claims, lease = d.lease, \
          first_at = d.first_at, finding = null \
          from d where tasks.instance = d.instance and tasks.name = d.consumed and tasks.lease is not null",
    returning: "",
};

pub(super) static CONSUME: Batched = Batched {
    columns: &[Text("instance"), Text("name"), Int("born"), Int("fence")],
    sql: "/* consume any */ with {d} \
          delete from tasks where (instance, name) in (select instance, name from d) \
          and lease is not null",
    returning: "instance",
};

pub(super) static MOVE: Batched = Batched {
    columns: super::commit::MOVE.columns,
    sql: "/* move any */ with {d} \
          update instances set version = d.version, state_doc = d.state_doc, \
          status = d.status, phase = d.phase, attention = d.attention, seq = d.seq, hash = d.hash, \
          updated_at = d.updated_at, completed_at = d.completed_at, reference = d.reference \
          from d where instances.id = d.id",
    returning: "",
};

/// The key of the history is a second guard of the revision.
pub(super) static APPEND: Batched = Batched {
    columns: super::commit::APPEND.columns,
    sql: "/* append any history */ with {d} \
          insert into history \
          (instance, seq, at, occurrence, status, phase, actor, step, attempt, latency_us, hash) \
          select instance, seq, at, occurrence, status, phase, actor, step, attempt, latency_us, hash from d \
          where instance is not null on conflict do nothing",
    returning: "",
};

pub(super) static TELL: Batched = Batched {
    columns: super::commit::TELL.columns,
    sql: "/* tell any */ with {d} \
          insert into outbox (instance, seq, n, audience, about, created_at) \
          select instance, seq, n, audience, about, created_at from d where instance is not null \
          on conflict do nothing",
    returning: "",
};
