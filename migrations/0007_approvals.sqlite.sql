-- What people ask for and decide, and what providers pushed. Twin of 0007_approvals.postgres.sql.

-- A request that a second person has to approve. What is asked is written once; the decision and its result follow.
create table approvals (
    id text primary key,              -- 32 hex digits
    action text not null,
    proposal text not null,           -- JSON
    instance text not null,
    revision integer not null,        -- of the instance, when it was asked for
    target text not null,             -- what must still be so when it is decided
    requested_by text not null,
    reason text not null,
    evidence text not null,
    created_at integer not null,
    expires_at integer not null,
    digest text not null,             -- SHA-256 of everything above
    verdict text,
    decided_by text,
    decision_reason text,
    decided_at integer,
    result text,                      -- what came of an approval: applied or void
    result_at integer
) strict;
create index approvals_by_instance on approvals (instance, id);
create index approvals_to_apply on approvals (decided_at) where verdict = 'approved' and result is null;

-- Who asked for what on which subject, and why. Written before it is carried out.
create table actions (
    id text primary key,              -- 32 hex digits
    at integer not null,
    actor text not null,
    role text not null,
    verb text not null,
    subject text not null,
    reason text not null
) strict;
create index actions_by_subject on actions (subject, id);

-- What a provider pushed, kept before it is answered and applied afterwards.
create table notices (
    source text not null,
    event text not null,
    reference text,                   -- the provider's id of the payment that it is about
    body text not null,
    received_at integer not null,
    due_at integer not null,          -- when it is applied next
    handled_at integer,
    outcome text,
    primary key (source, event)
) strict, without rowid;
create index notices_by_due on notices (due_at) where handled_at is null;
