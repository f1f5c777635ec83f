SELECT * FROM {t} ORDER BY id
SELECT count(*), count(name), count(score), count(DISTINCT region) FROM {t}
SELECT sum(amount), min(amount), max(amount), avg(score) FROM {t}
SELECT min(name), max(name), min(day), max(day), min(region), max(region) FROM {t}
SELECT region, count(*), sum(amount) FROM {t} GROUP BY region ORDER BY region NULLS FIRST, 2
SELECT name, count(*) FROM {t} GROUP BY name ORDER BY name NULLS FIRST LIMIT 20
SELECT day, count(*) FROM {t} GROUP BY day HAVING count(*) > 1 ORDER BY day NULLS FIRST
SELECT region, day, count(*) FROM {t} GROUP BY ROLLUP (region, day) ORDER BY region NULLS FIRST, day NULLS FIRST, 3
SELECT DISTINCT region FROM {t} ORDER BY region NULLS FIRST
SELECT id FROM {t} WHERE region = 'north' ORDER BY id
SELECT id FROM {t} WHERE region = 'N' OR region = 'NORTH' ORDER BY id
SELECT id FROM {t} WHERE score IS NULL ORDER BY id
SELECT id FROM {t} WHERE amount BETWEEN 100 AND 300 ORDER BY id
SELECT id FROM {t} WHERE name LIKE 'P1%' OR name LIKE '%7' ORDER BY id
SELECT id FROM {t} WHERE day >= DATE '2026-02-01' AND day < DATE '2026-03-01' ORDER BY id
SELECT id FROM {t} WHERE id IN (SELECT id FROM {t} WHERE amount > 200) ORDER BY id
SELECT id FROM {t} AS o WHERE EXISTS (SELECT 1 FROM {t} AS i WHERE i.id = o.id + 1 AND i.region = o.region) ORDER BY id
SELECT id FROM {t} WHERE amount = (SELECT max(amount) FROM {t}) ORDER BY id
SELECT a.id, b.id FROM {t} AS a JOIN {t} AS b ON a.name = b.name AND a.id < b.id ORDER BY 1, 2 LIMIT 20
SELECT a.region, count(*) FROM {t} AS a JOIN {t} AS b ON a.score = b.score GROUP BY a.region ORDER BY 1 NULLS FIRST
SELECT a.id FROM {t} AS a LEFT JOIN {t} AS b ON a.id = b.id + 150 WHERE b.id IS NULL ORDER BY a.id LIMIT 20
SELECT id, sum(amount) OVER (ORDER BY id), rank() OVER (PARTITION BY region ORDER BY amount, id) FROM {t} ORDER BY id LIMIT 30
SELECT id, amount FROM {t} ORDER BY amount DESC NULLS LAST, id LIMIT 7 OFFSET 3
SELECT id FROM {t} WHERE region = 'south' UNION ALL SELECT id FROM {t} WHERE score > 90 ORDER BY 1
SELECT region FROM {t} INTERSECT SELECT upper(region) FROM {t} ORDER BY 1
WITH big AS (SELECT * FROM {t} WHERE amount > 250) SELECT count(*), count(DISTINCT name), sum(score) FROM big
SELECT approx_distinct(name), median(amount), stddev(score), corr(amount, score) FROM {t}
SELECT array_agg(region ORDER BY id) FROM {t} WHERE id < 12
SELECT CASE WHEN amount > 200 THEN 'much' WHEN amount IS NULL THEN 'none' ELSE 'little' END AS how, count(*) FROM {t} GROUP BY 1 ORDER BY 1
SELECT count(*) FILTER (WHERE region = 'north'), sum(amount) FILTER (WHERE score > 10) FROM {t}
SELECT weighted_avg(amount, 1.0 + id), reach(name, 1.0) FROM {t}
