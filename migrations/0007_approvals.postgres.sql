-- What people ask for and decide, and what providers pushed. Twin of 0007_approvals.sqlite.sql.

-- A request that a second person has to approve. What is asked is written once; the decision and its result follow.
create table approvals (
    id text collate "C" primary key,          -- 32 hex digits
    action text collate "C" not null,
    proposal text collate "C" not null,       -- JSON
    instance text collate "C" not null,
    revision bigint not null,                 -- of the instance, when it was asked for
    target text collate "C" not null,         -- what must still be so when it is decided
    requested_by text collate "C" not null,
    reason text collate "C" not null,
    evidence text collate "C" not null,
    created_at bigint not null,
    expires_at bigint not null,
    digest text collate "C" not null,         -- SHA-256 of everything above
    verdict text collate "C",
    decided_by text collate "C",
    decision_reason text collate "C",
    decided_at bigint,
    result text collate "C",                  -- what came of an approval: applied or void
    result_at bigint
);
create index approvals_by_instance on approvals (instance, id);
create index approvals_to_apply on approvals (decided_at) where verdict = 'approved' and result is null;

-- Who asked for what on which subject, and why. Written before it is carried out.
create table actions (
    id text collate "C" primary key,          -- 32 hex digits
    at bigint not null,
    actor text collate "C" not null,
    role text collate "C" not null,
    verb text collate "C" not null,
    subject text collate "C" not null,
    reason text collate "C" not null
);
create index actions_by_subject on actions (subject, id);

-- What a provider pushed, kept before it is answered and applied afterwards.
create table notices (
    source text collate "C" not null,
    event text collate "C" not null,
    reference text collate "C",               -- the provider's id of the payment that it is about
    body text collate "C" not null,
    received_at bigint not null,
    due_at bigint not null,                   -- when it is applied next
    handled_at bigint,
    outcome text collate "C",
    primary key (source, event)
);
create index notices_by_due on notices (due_at) where handled_at is null;
