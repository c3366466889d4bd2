-- Balances as banks last told them, the right to ask for them, and what became of consents. Twin of 0006_balances.postgres.sql.

alter table bank_accounts add column balance integer;           -- minor units of `currency`, never a computed number
alter table bank_accounts add column balance_synced_at integer; -- when the bank was asked for it
create index bank_accounts_by_consent on bank_accounts (bank, provider_consent);

create table account_reads (
    bank text not null,
    account text not null,            -- the provider's id of it
    consent text not null,
    lease text not null,              -- the read that is under way
    lease_until integer not null,     -- 0 = none is
    limited_until integer not null,   -- the bank wants no read before
    limits_all integer not null,      -- 1 = reads with the customer present too
    primary key (bank, account, consent)
) strict, without rowid;

create table unattended_reads (
    read text primary key,
    bank text not null,
    account text not null,
    consent text not null,
    at integer not null
) strict, without rowid;
create index unattended_reads_by_account on unattended_reads (bank, account, consent, at);

create table consents (
    account text not null,            -- bank_accounts.id
    consent text not null,            -- the provider's id of it
    status text not null,             -- valid, replaced, expired
    valid_until integer,
    created_at integer not null,
    updated_at integer not null,
    primary key (account, consent)
) strict, without rowid;
