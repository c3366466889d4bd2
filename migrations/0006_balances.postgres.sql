-- Balances as banks last told them, the right to ask for them, and what became of consents. Twin of 0006_balances.sqlite.sql.

alter table bank_accounts add column balance bigint;           -- minor units of `currency`, never a computed number
alter table bank_accounts add column balance_synced_at bigint; -- when the bank was asked for it
create index bank_accounts_by_consent on bank_accounts (bank, provider_consent);

create table account_reads (
    bank text collate "C" not null,
    account text collate "C" not null,    -- the provider's id of it
    consent text collate "C" not null,
    lease text collate "C" not null,      -- the read that is under way
    lease_until bigint not null,          -- 0 = none is
    limited_until bigint not null,        -- the bank wants no read before
    limits_all bigint not null,           -- 1 = reads with the customer present too
    primary key (bank, account, consent)
);

create table unattended_reads (
    read text collate "C" primary key,
    bank text collate "C" not null,
    account text collate "C" not null,
    consent text collate "C" not null,
    at bigint not null
);
create index unattended_reads_by_account on unattended_reads (bank, account, consent, at);

create table consents (
    account text collate "C" not null,    -- bank_accounts.id
    consent text collate "C" not null,    -- the provider's id of it
    status text collate "C" not null,     -- valid, replaced, expired
    valid_until bigint,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (account, consent)
);
