-- What the product knows beside its workflows. Twin of 0002_registry.postgres.sql.

create table users (
    id text primary key,
    first_name text not null,
    last_name text not null,
    email text,
    phone text,
    birth_date text,                  -- ISO 8601
    kyc text not null,
    created_at integer not null,
    updated_at integer not null
) strict;

create table bank_accounts (
    id text primary key,
    owner text not null,
    bank text not null,
    bank_name text not null,
    iban text not null,
    provider_account text not null,
    currency text not null,
    provider_consent text,
    consent_expires_at integer,
    is_primary integer not null,      -- 0 or 1
    created_at integer not null,
    updated_at integer not null
) strict;
create index bank_accounts_by_owner on bank_accounts (owner, id);
create unique index bank_accounts_one_primary on bank_accounts (owner) where is_primary = 1;

create table recipients (
    id text primary key,
    owner text not null,
    name text not null,
    country text not null,            -- ISO 3166 alpha-2
    town text,
    account text not null,            -- JSON: by IBAN or by national number
    bic text,
    currency text not null,
    created_at integer not null,
    updated_at integer not null
) strict;
create index recipients_by_owner on recipients (owner, id);

create table merchants (
    id text primary key,
    name text not null,
    org_number text,
    iban text not null,
    owner text,
    created_at integer not null,
    updated_at integer not null
) strict;

create table exchange_rates (
    source text not null,             -- one unit of this currency
    target text not null,             -- costs `rate` of this one
    rate text not null,               -- decimal
    valid_until integer,
    updated_at integer not null,
    primary key (source, target)
) strict, without rowid;

create table api_keys (
    id text primary key,
    secret_hash text not null unique, -- SHA-256 in hex; the secret itself is not stored
    subject text not null,
    role text not null,
    expires_at integer,
    created_at integer not null,
    revoked_at integer
) strict;
