-- The instances that have not ended, however many have: what the scanner walks. Twin of 0008_live.sqlite.sql.

create index instances_live on instances (id) where completed_at is null;
