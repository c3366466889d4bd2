-- A bank's limits on reads of an account, by whom they concern. Twin of 0009_bounds.sqlite.sql.

-- The bank wants no read before, with the customer present or without. `limited_until` holds the latest limit of all, and
-- `limits_all` says of that one whether it concerns everybody.
alter table account_reads add column everybody_until bigint not null default 0;
