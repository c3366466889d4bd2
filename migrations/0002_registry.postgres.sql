-- What the product knows beside its workflows. Twin of 0002_registry.sqlite.sql.

create table users (
    id text collate "C" primary key,
    first_name text collate "C" not null,
    last_name text collate "C" not null,
    email text collate "C",
    phone text collate "C",
    birth_date text collate "C",              -- ISO 8601
    kyc text collate "C" not null,
    created_at bigint not null,
    updated_at bigint not null
);

create table bank_accounts (
    id text collate "C" primary key,
    owner text collate "C" not null,
    bank text collate "C" not null,
    bank_name text collate "C" not null,
    iban text collate "C" not null,
    provider_account text collate "C" not null,
    currency text collate "C" not null,
    provider_consent text collate "C",
    consent_expires_at bigint,
    is_primary bigint not null,               -- 0 or 1
    created_at bigint not null,
    updated_at bigint not null
);
create index bank_accounts_by_owner on bank_accounts (owner, id);
create unique index bank_accounts_one_primary on bank_accounts (owner) where is_primary = 1;

create table recipients (
    id text collate "C" primary key,
    owner text collate "C" not null,
    name text collate "C" not null,
    country text collate "C" not null,        -- ISO 3166 alpha-2
    town text collate "C",
    account text collate "C" not null,        -- JSON: by IBAN or by national number
    bic text collate "C",
    currency text collate "C" not null,
    created_at bigint not null,
    updated_at bigint not null
);
create index recipients_by_owner on recipients (owner, id);

create table merchants (
    id text collate "C" primary key,
    name text collate "C" not null,
    org_number text collate "C",
    iban text collate "C" not null,
    owner text collate "C",
    created_at bigint not null,
    updated_at bigint not null
);

create table exchange_rates (
    source text collate "C" not null,         -- one unit of this currency
    target text collate "C" not null,         -- costs `rate` of this one
    rate text collate "C" not null,           -- decimal
    valid_until bigint,
    updated_at bigint not null,
    primary key (source, target)
);

create table api_keys (
    id text collate "C" primary key,
    secret_hash text collate "C" not null unique, -- SHA-256 in hex; the secret itself is not stored
    subject text collate "C" not null,
    role text collate "C" not null,
    expires_at bigint,
    created_at bigint not null,
    revoked_at bigint
);
