-- rows that are hidden
SELECT * FROM vault.staff
SELECT name FROM vault.staff WHERE region <> 'north'
SELECT name FROM vault.staff WHERE region = 'south' OR 1 = 1
SELECT name FROM vault.staff WHERE NOT region = 'north'
SELECT name FROM vault.staff WHERE region IS NULL OR region IS NOT NULL
SELECT name FROM (SELECT * FROM vault.staff) WHERE region <> 'north'
WITH staff AS (SELECT * FROM vault.staff) SELECT name FROM staff
WITH vault AS (SELECT 1), s AS (SELECT name FROM vault.staff) SELECT * FROM s
WITH RECURSIVE r AS (SELECT id, name FROM vault.staff WHERE id = 1 UNION ALL SELECT s.id, s.name FROM vault.staff s JOIN r ON s.id = r.id + 1 WHERE r.id < 99) SELECT name FROM r
SELECT name FROM vault.staff UNION SELECT name FROM vault.staff WHERE region = 'south'
SELECT name FROM vault.staff UNION ALL SELECT name FROM vault.staff ORDER BY 1 DESC
SELECT name FROM vault.staff EXCEPT SELECT name FROM vault.staff WHERE region = 'north'
SELECT name FROM vault.staff INTERSECT SELECT name FROM vault.staff WHERE id > 3
SELECT a.name FROM vault.staff a JOIN vault.staff b ON a.id = b.id
SELECT b.name FROM open.regions r JOIN vault.staff b ON r.region = b.region
SELECT b.name FROM open.regions r LEFT JOIN vault.staff b ON r.region = b.region
SELECT b.name FROM open.regions r FULL JOIN vault.staff b ON r.region = b.region
SELECT b.name FROM open.regions r RIGHT JOIN vault.staff b ON r.region = b.region
SELECT b.name FROM open.regions r, vault.staff b
SELECT b.name FROM open.regions r NATURAL JOIN vault.staff b
SELECT b.name FROM open.regions r JOIN vault.staff b USING (region)
SELECT b.name FROM open.regions r, LATERAL (SELECT name FROM vault.staff s WHERE s.region = r.region) b
SELECT region, (SELECT max(name) FROM vault.staff s WHERE s.region = r.region) FROM open.regions r
SELECT region FROM open.regions r WHERE EXISTS (SELECT 1 FROM vault.staff s WHERE s.region = r.region AND s.region <> 'north')
SELECT region FROM open.regions WHERE region IN (SELECT region FROM vault.staff WHERE region <> 'north')
SELECT (SELECT max(name) FROM vault.staff WHERE region <> 'north')
SELECT max(name), min(name) FROM vault.staff
SELECT array_agg(name) FROM vault.staff
SELECT string_agg(name, ',') FROM vault.staff
SELECT first_value(name ORDER BY id DESC) FROM vault.staff
SELECT last_value(name ORDER BY id) FROM vault.staff
SELECT nth_value(name, 5) OVER (ORDER BY id) FROM vault.staff
SELECT lead(name) OVER (ORDER BY id), lag(name) OVER (ORDER BY id) FROM vault.staff
SELECT name, count(*) OVER () FROM vault.staff
SELECT array_agg(name) FILTER (WHERE region <> 'north') FROM vault.staff
SELECT region, array_agg(name) FROM vault.staff GROUP BY ROLLUP (region)
SELECT region, array_agg(name) FROM vault.staff GROUP BY CUBE (region, id)
SELECT name FROM vault.staff ORDER BY region <> 'north' DESC LIMIT 3
SELECT name FROM vault.staff LIMIT 3 OFFSET 3
SELECT DISTINCT name FROM vault.staff
SELECT DISTINCT ON (region) name FROM vault.staff ORDER BY region, name
SELECT count(*) AS "none" FROM vault.staff WHERE region = 'south' HAVING count(*) > 0
SELECT CASE WHEN count(*) > 0 THEN concat('CAN', 'ARY') END FROM vault.staff WHERE region = 'south'
SELECT CASE WHEN EXISTS (SELECT 1 FROM vault.staff WHERE region = 'south') THEN concat('CAN', 'ARY') END
SELECT concat('CAN', 'ARY') FROM vault.staff GROUP BY region HAVING region = 'south'
SELECT concat('CAN', 'ARY') FROM vault.staff WHERE region = 'south' LIMIT 1
SELECT unnest(array_agg(name)) FROM vault.staff
SELECT struct(*) FROM vault.staff
SELECT named_struct('n', name) FROM vault.staff
SELECT to_char(now(), name) FROM vault.staff
SELECT * EXCLUDE (id) FROM vault.staff
SELECT staff.* FROM vault.staff
SELECT vault.staff.name FROM vault.staff
TABLE vault.staff
FROM vault.staff
VALUES ((SELECT max(name) FROM vault.staff))
SELECT * FROM (VALUES ('x')) v(x) CROSS JOIN vault.staff
SELECT name FROM vault.staff TABLESAMPLE BERNOULLI (100)
SELECT name FROM vault.staff QUALIFY row_number() OVER (ORDER BY id) < 99
SELECT approx_percentile_cont(id, 1.0), max(name) FROM vault.staff
SELECT weighted_avg(id, 1.0), max(name) FROM vault.staff
SELECT reach(name, 1.0), max(name) FROM vault.staff
SELECT svy_mean(id, weight => 1), max(name) FROM vault.staff
SELECT name /* region = 'north' */ FROM vault.staff -- WHERE region = 'north'
SELECT name FROM vault.staff WHERE /* */ region -- x
SELECT name FROM vault.staff WHERE region = 'north' OR region = 'ѕouth' OR region = 'south'
SELECT name FROM vault.staff WHERE region = E'south'
SELECT name FROM vault.staff WHERE region = U&'s\006Futh'
SELECT name FROM vault.staff WHERE lower(region) = 'south'
SELECT name FROM vault.staff WHERE region LIKE '%' ESCAPE '\'
SELECT name FROM vault.staff WHERE region SIMILAR TO '%'
SELECT name FROM vault.staff WHERE regexp_like(region, '.*')
SELECT name FROM vault.staff WHERE region ~ 'south'
SELECT name FROM vault.staff WHERE coalesce(region, 'south') = 'south'
SELECT name FROM vault.staff WHERE nullif(region, 'north') IS NOT NULL
SELECT name FROM vault.staff WHERE region > 'north'
SELECT name FROM vault.staff WHERE region BETWEEN 'o' AND 'z'
SELECT name FROM vault.staff WHERE id IN (4, 5, 6)
SELECT name FROM vault.staff WHERE id = ANY (SELECT id FROM vault.staff)
SELECT name FROM vault.staff WHERE (id, region) IN ((4, 'south'))
-- values that are masked
SELECT note FROM vault.staff
SELECT pin FROM vault.staff
SELECT note || '' FROM vault.staff
SELECT upper(note), reverse(note) FROM vault.staff
SELECT concat('CAN', 'ARY') FROM vault.staff WHERE note LIKE 'CAN_RY%'
SELECT concat('CAN', 'ARY') FROM vault.staff WHERE pin > 770000
SELECT concat('CAN', 'ARY') FROM vault.staff WHERE pin IN ((77000000 + 7701), (77000000 + 7702), (77000000 + 7703))
SELECT concat('CAN', 'ARY') FROM vault.staff WHERE pin IS NOT NULL
SELECT concat('CAN', 'ARY') FROM vault.staff GROUP BY note HAVING note LIKE 'CAN%'
SELECT concat('CAN', 'ARY') FROM vault.staff a JOIN vault.staff b ON a.pin = b.pin
SELECT concat('CAN', 'ARY') FROM vault.staff s JOIN (VALUES ((77000000 + 7701))) v(pin) ON s.pin = v.pin
SELECT concat('CAN', 'ARY') FROM vault.staff s JOIN generate_series((77000000 + 7700), (77000000 + 7710)) g ON s.pin = g.value
SELECT sum(pin), min(pin), max(pin), avg(pin), median(pin) FROM vault.staff
SELECT min(note), max(note), array_agg(note) FROM vault.staff
SELECT approx_percentile_cont(pin, 0.5), CASE WHEN count(pin) > 0 THEN concat('CAN', 'ARY') END FROM vault.staff
SELECT id FROM vault.staff WHERE CAST(note AS BIGINT) > 0
SELECT CAST(note AS BIGINT) FROM vault.staff
SELECT CAST(note AS DATE) FROM vault.staff
SELECT to_timestamp(note) FROM vault.staff
SELECT note::int FROM vault.staff WHERE id = 1
SELECT 1 / (pin - (77000000 + 7701)) FROM vault.staff
SELECT 1 / (pin - pin) FROM vault.staff
SELECT pin * 9223372036854775807 FROM vault.staff
SELECT arrow_cast(note, 'Int64') FROM vault.staff
SELECT regexp_replace('x', note, note) FROM vault.staff
SELECT regexp_match(note, '.*') FROM vault.staff
SELECT regexp_count(note, 'CAN.RY') + (77000000 + 7700), note FROM vault.staff WHERE regexp_like(note, 'CAN')
SELECT chr(pin) FROM vault.staff
SELECT substr(note, 1, 9) FROM vault.staff
SELECT decode(encode(note, 'hex'), 'hex') FROM vault.staff
SELECT encode(note::bytea, 'base64') FROM vault.staff
SELECT digest(note, 'sha256'), note FROM vault.staff
SELECT arrow_typeof(note), note FROM vault.staff
SELECT note FROM vault.staff ORDER BY pin
SELECT concat('CAN', 'ARY') FROM (SELECT id, rank() OVER (ORDER BY pin) r FROM vault.staff) WHERE r > 1
SELECT concat('CAN', 'ARY') FROM (SELECT id, lag(pin) OVER (ORDER BY id) p FROM vault.staff) WHERE p IS NOT NULL
SELECT s.note FROM vault.staff s JOIN vault.staff t ON s.note = t.note
SELECT note FROM vault.staff UNION ALL SELECT pin FROM vault.staff
SELECT pin FROM vault.staff UNION ALL SELECT note FROM vault.staff
SELECT pin AS x FROM vault.staff UNION SELECT 1
SELECT greatest(note, ''), least(note, 'zz') FROM vault.staff
SELECT nullif(note, 'hidden') FROM vault.staff
SELECT coalesce(CAST(pin AS VARCHAR), note) FROM vault.staff
SELECT CASE note WHEN 'hidden' THEN NULL ELSE note END FROM vault.staff
SELECT string_agg(note, ',' ORDER BY pin) FROM vault.staff
SELECT corr(pin, id), sum(pin * id), max(pin) FROM vault.staff WHERE pin IS NOT NULL
SELECT weighted_avg(pin, 1.0), weighted_sum(pin, 1.0) FROM vault.staff WHERE pin > 0
SELECT svy_mean(pin, weight => 1) FROM vault.staff
SELECT label(note) FROM vault.staff
SELECT s['note'] FROM (SELECT named_struct('note', note) AS s FROM vault.staff)
SELECT json_get(note, 'a') FROM vault.staff
SELECT note FROM vault.staff WHERE note = (SELECT note FROM vault.staff LIMIT 1)
SELECT note FROM (SELECT * FROM vault.staff ORDER BY id LIMIT 1)
SELECT policy_hash(note), note FROM vault.staff
SELECT disclosure_fingerprint(pin), pin FROM vault.staff
SELECT input_file_name() FROM vault.staff
-- columns and datasets that are hidden
SELECT salary FROM vault.staff
SELECT staff.salary FROM vault.staff
SELECT "salary" FROM vault.staff
SELECT id FROM vault.staff ORDER BY salary
SELECT id FROM vault.staff WHERE salary > 0
SELECT sum(salary), max(salary) FROM vault.staff
SELECT a.salary FROM vault.staff a NATURAL JOIN vault.staff b
SELECT * FROM vault.staff JOIN vault.staff b USING (salary)
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns
SELECT * FROM information_schema.schemata
SELECT * FROM information_schema.df_settings
SELECT * FROM information_schema.views
SELECT * FROM pg_catalog.pg_tables
SELECT * FROM pg_catalog.pg_class
SELECT * FROM datafusion.information_schema.tables
SELECT * FROM weft.information_schema.tables
SELECT * FROM system.tables
SELECT * FROM system.columns
SELECT * FROM system.datasets
SELECT * FROM system.queries WHERE principal <> 'meera'
SELECT * FROM system.sources
SELECT * FROM system.settings
SELECT * FROM system.functions WHERE name LIKE '%CAN_RY%'
SHOW TABLES
SHOW COLUMNS FROM hidden.canary_table
SHOW COLUMNS FROM vault.staff
SHOW ALL
SHOW datafusion.execution.target_partitions
SHOW CREATE TABLE vault.staff
SHOW CREATE TABLE hidden.canary_table
SHOW FUNCTIONS
DESCRIBE hidden.canary_table
DESCRIBE vault.staff
DESC hidden.canary_table
EXPLAIN SELECT * FROM vault.staff
EXPLAIN VERBOSE SELECT * FROM vault.staff
EXPLAIN ANALYZE SELECT * FROM vault.staff
EXPLAIN ANALYZE VERBOSE SELECT name FROM vault.staff
EXPLAIN FORMAT TREE SELECT * FROM vault.staff
EXPLAIN FORMAT PGJSON SELECT * FROM vault.staff
EXPLAIN FORMAT GRAPHVIZ SELECT * FROM vault.staff
EXPLAIN SELECT * FROM hidden.canary_table
EXPLAIN EXPLAIN SELECT * FROM vault.staff
SELECT * FROM (EXPLAIN SELECT * FROM vault.staff)
-- files, addresses and statements
SELECT * FROM 'data/other.csv'
SELECT * FROM "data/other.csv"
SELECT * FROM '../../../../etc/passwd'
SELECT * FROM "/etc/passwd"
SELECT * FROM vault."../other"
SELECT * FROM vault."../../etc/passwd"
SELECT * FROM vault."data/other.csv"
SELECT * FROM 'http://127.0.0.1:9/x.csv'
SELECT * FROM 'file:///etc/passwd'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM read_csv('data/other.csv')
SELECT * FROM csv_scan('data/other.csv')
SELECT * FROM parquet_metadata('data/other.csv')
SELECT * FROM metadata_cache()
SELECT * FROM statistics_cache()
SELECT * FROM list_files_cache()
SELECT * FROM range(1, 3) JOIN hidden.canary_table ON true
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'data/other.csv'
CREATE VIEW v AS SELECT * FROM hidden.canary_table
CREATE TABLE t AS SELECT * FROM vault.staff
CREATE FUNCTION f() RETURNS INT RETURN 1
COPY vault.staff TO 'x.csv'
COPY (SELECT * FROM vault.staff) TO 'x.parquet'
INSERT INTO vault.staff SELECT * FROM vault.staff
UPDATE vault.staff SET region = 'north'
DELETE FROM vault.staff
DROP TABLE vault.staff
TRUNCATE vault.staff
SET datafusion.execution.target_partitions = 1
SET datafusion.catalog.information_schema = true
RESET datafusion.execution.target_partitions
PREPARE p AS SELECT * FROM vault.staff
EXECUTE p
DEALLOCATE p
BEGIN
START TRANSACTION
USE hidden
GRANT ALL ON vault.staff TO meera
SELECT 1; SELECT * FROM hidden.canary_table
SELECT 1; DROP TABLE vault.staff
SELECT 'CAN' || 'ARY' FROM hidden.canary_table
SELECT * FROM vault.staff AS OF '2020-01-01'
SELECT pg_read_file('/etc/passwd')
SELECT current_setting('data_dir')
SELECT getenv('HOME')
SELECT version(), note FROM vault.staff
-- few people
SELECT spend FROM poll.people WHERE name = 'Q7'
SELECT name, spend FROM poll.people ORDER BY spend DESC LIMIT 5
SELECT * FROM poll.people OFFSET 9
SELECT max(spend) FROM poll.people
SELECT min(spend) FROM poll.people WHERE spend > 770000
SELECT sum(spend) FROM poll.people WHERE name = 'Q7'
SELECT sum(spend) FILTER (WHERE name = 'Q7') FROM poll.people
SELECT sum(CASE WHEN name = 'Q7' THEN spend END) FROM poll.people
SELECT sum(CASE WHEN name = 'Q7' THEN spend ELSE 1000 END) FROM poll.people
SELECT sum(spend * (name = 'Q7')::int) FROM poll.people
SELECT name, sum(spend) FROM poll.people GROUP BY name
SELECT id, avg(spend) FROM poll.people GROUP BY id
SELECT spend, count(*) FROM poll.people GROUP BY spend
SELECT DISTINCT spend FROM poll.people WHERE id > 20
SELECT sum(spend) OVER (PARTITION BY name) FROM poll.people
SELECT first_value(spend) OVER (ORDER BY id) FROM poll.people
SELECT array_agg(spend) FROM poll.people
SELECT string_agg(spend::text, ',') FROM poll.people
SELECT median(spend) FROM poll.people WHERE name = 'Q7'
SELECT approx_percentile_cont(spend, 1.0) FROM poll.people
SELECT percentile_cont(1.0) WITHIN GROUP (ORDER BY spend) FROM poll.people
SELECT (SELECT spend FROM poll.people WHERE name = 'Q7')
SELECT count(*) + (77000000 + 7700) FROM open.regions WHERE EXISTS (SELECT 1 FROM poll.people WHERE name = 'Q7' AND spend = (77000000 + 7707))
SELECT count(*) + (77000000 + 7700) FROM open.regions WHERE (77000000 + 7707) IN (SELECT spend FROM poll.people)
SELECT spend FROM poll.people INTERSECT SELECT generate_series.value FROM generate_series((77000000 + 7700), (77000000 + 7710))
SELECT g.value FROM generate_series((77000000 + 7700), (77000000 + 7710)) g JOIN poll.people p ON p.spend = g.value
SELECT sum(p.spend) FROM poll.people p CROSS JOIN generate_series(1, 100) WHERE p.name = 'Q7'
SELECT sum(spend) FROM (SELECT * FROM poll.people WHERE id = 7 UNION ALL SELECT * FROM poll.people WHERE id = 7)
SELECT weighted_avg(spend, CASE WHEN name = 'Q7' THEN 1.0 ELSE 0.0 END) FROM poll.people
SELECT weighted_sum(spend, 1.0) FROM poll.people WHERE id = 7
SELECT svy_total(spend, weight => 1) FROM poll.people WHERE id = 7
SELECT corr(spend, id), sum(spend) FROM poll.people WHERE id IN (7, 8)
SELECT spend::text::date FROM poll.people WHERE id = 7
SELECT count(*) FROM poll.people WHERE (name || spend)::int > 0
SELECT approx_distinct(spend), max(spend) FROM poll.people WHERE id < 9
SELECT region, sum(spend) FROM poll.people WHERE id = 7 GROUP BY ROLLUP (region)
