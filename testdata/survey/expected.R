# What R's `survey` says of queries: Rscript expected.R (Debian: r-cran-survey) writes the data and expected.tsv beside it.
#
# Each line of expected.tsv is one field of one row of one query: the SQL, the row, the field, and the value by R (NA = NULL).

suppressMessages(library(survey))
options(survey.lonely.psu = "fail", digits = 17)
data(api)

columns <- c("cds", "stype", "dnum", "pw", "fpc", "api99", "api00", "enroll", "meals", "ell", "sch.wide", "both")
written <- function(frame, file) {
  frame <- frame[, columns]
  names(frame) <- gsub(".", "_", names(frame), fixed = TRUE)
  write.csv(frame, file, row.names = FALSE, na = "")
}
# Values that are missing, a cluster of its own stratum, and PSUs without weight.
apistrat$ell[c(3, 50, 120)] <- NA
apiclus1$meals[seq(1, nrow(apiclus1), 17)] <- NA
written(apistrat, "strat.csv")
written(apiclus1, "clus1.csv")

# A made sample of strata, clusters in them, rows in those, and people with several rows.
set.seed(20240229)
psus <- data.frame(h = rep(1:6, times = c(5, 4, 6, 3, 2, 8)))
psus$c <- ave(psus$h, psus$h, FUN = seq_along)
psus$big <- c(40, 4, 25, 30, 2, 100)[psus$h]
made <- psus[rep(seq_len(nrow(psus)), times = sample(3:9, nrow(psus), replace = TRUE)), ]
rownames(made) <- NULL
made$id <- seq_len(nrow(made))
made$w <- round(runif(nrow(made), 0.2, 9), 3)
made$w[sample(nrow(made), 8)] <- 0
made$x <- round(rnorm(nrow(made), 50 + 3 * made$h + made$c, 12), 2)
made$y <- round(rexp(nrow(made), 1 / 20) + 1, 2)
made$far <- 1e6 + round(made$x / 12, 4)
made$g <- sample(c("a", "b", "c"), nrow(made), replace = TRUE)
made$flag <- made$x > 60
made$x[sample(nrow(made), 6)] <- NA
# Only in one PSU, and in two strata.
made$rare <- made$h == 2 & made$c == 1 | made$h == 3 & made$c %in% 1:2
write.csv(made, "made.csv", row.names = FALSE, na = "")
lonely <- subset(made, !(h == 4 & c > 1))
write.csv(lonely, "lonely.csv", row.names = FALSE, na = "")

lines <- character()
number <- function(value) if (length(value) == 0 || is.na(value) || is.nan(value)) "NA" else format(value, digits = 17)
expect <- function(sql, row, values) {
  for (field in names(values)) lines <<- c(lines, paste(sql, row, field, number(values[[field]]), sep = "\t"))
}

# The fields of one statistic over a design, and the number of rows.
fields <- function(result, design, n = NULL, deff = TRUE, level = 0.95) {
  df <- degf(design)
  half <- if (df > 0) qt((1 + level) / 2, df) * as.numeric(SE(result))[1] else NA
  interval <- as.numeric(coef(result))[1] + c(-half, half)
  values <- list(estimate = as.numeric(coef(result))[1], se = as.numeric(SE(result))[1], ci_low = interval[1], ci_high = interval[2])
  # Of values that are all the same, R divides what rounding left by itself.
  if (deff) values$deff <- ifelse(abs(survey::deff(result)[1]) < 1e20, as.numeric(survey::deff(result))[1], NA)
  if (!is.null(n)) values$n <- n
  values$df <- df
  values
}
counted <- function(design, x) sum(weights(design) > 0 & !is.na(model.frame(x, design$variables, na.action = na.pass)[[1]]))
without <- function(design, x) design[!is.na(model.frame(x, design$variables, na.action = na.pass)[[1]]), ]

# Every estimator over a design: `named` is the design in SQL, `domain` a condition on both sides.
battery <- function(table, named, design, variables, condition, groups, domain = NULL, where = "") {
  if (!is.null(domain)) design <- subset(design, eval(domain, design$variables) %in% TRUE)
  x <- variables[1]; y <- variables[2]
  fx <- as.formula(paste0("~", x)); fy <- as.formula(paste0("~", y)); fc <- as.formula(paste0("~as.numeric(", condition$r, ")"))
  ask <- function(call, keys = NULL, also = "") {
    keys <- if (!is.null(keys)) gsub(".", "_", keys, fixed = TRUE)
    key <- if (is.null(keys)) "" else paste0(keys, ", ")
    group <- if (is.null(keys)) "" else paste0(" GROUP BY ", keys, " ORDER BY ", keys)
    paste0("SELECT ", key, call, " AS s FROM ", table, where, group)
  }
  one <- function(sql, row, design) {
    known <- without(design, fx)
    expect(sql("mean"), row, fields(svymean(fx, design, na.rm = TRUE, deff = TRUE), known, counted(design, fx)))
    expect(sql("total"), row, fields(svytotal(fx, design, na.rm = TRUE, deff = TRUE), known, counted(design, fx)))
    expect(sql("share"), row, fields(svymean(fc, design, na.rm = TRUE, deff = TRUE), without(design, fc)))
    both <- without(known, fy)
    expect(sql("ratio"), row, fields(svyratio(fy, fx, design, na.rm = TRUE, deff = TRUE), both))
    expect(sql("variance"), row, fields(svyvar(fx, known), known, deff = FALSE))
    for (p in if (degf(known) > 0) c(0.213, 0.5, 0.951)) {
      # The median of equal weights is a tie, on which either neighbour is right.
      if (p == 0.5 && length(unique(weights(known)[weights(known) > 0])) < 5) next
      quantile <- svyquantile(fx, design, p, na.rm = TRUE, qrule = "math")[[1]]
      values <- list(estimate = quantile[1], ci_low = quantile[2], ci_high = quantile[3], se = quantile[4])
      expect(sql(if (p == 0.5) "median" else p), row, c(values, n = counted(design, fx), df = degf(known)))
    }
    design$variables$one <- 1
    expect(sql("count"), row, fields(svytotal(~one, design), design, deff = FALSE))
  }
  sql <- function(keys) function(what) if (is.numeric(what)) ask(paste0("svy_quantile(", x, ", ", what, named, ")"), keys) else switch(what,
    median = ask(paste0("svy_median(", x, named, ")"), keys),
    mean = ask(paste0("svy_mean(", x, named, ")"), keys), total = ask(paste0("svy_total(", x, named, ")"), keys),
    share = ask(paste0("svy_share(", condition$sql, named, ")"), keys),
    ratio = ask(paste0("svy_ratio(", y, ", ", x, named, ")"), keys),
    variance = ask(paste0("svy_variance(", x, named, ")"), keys), count = ask(paste0("svy_count(*", named, ")"), keys))
  one(sql(NULL), 0, design)
  for (keys in groups) {
    by <- strsplit(keys, ", ")[[1]]
    present <- design$variables[weights(design) > 0, by, drop = FALSE]
    levels <- unique(present[do.call(order, c(unname(as.list(present)), method = "radix")), , drop = FALSE])
    for (row in seq_len(nrow(levels))) {
      inside <- Reduce(`&`, lapply(by, function(name) design$variables[[name]] == levels[[name]][row]))
      one(sql(keys), row - 1, design[inside %in% TRUE, ])
    }
  }
}

strat <- svydesign(id = ~1, strata = ~stype, weights = ~pw, fpc = ~fpc, data = apistrat)
battery("api.strat", ", weight => pw, strata => stype, fpc => fpc", strat, c("ell", "enroll"),
  list(r = "api00 > 700", sql = "api00 > 700"), c("stype", "sch.wide"))
plain <- svydesign(id = ~1, strata = ~stype, weights = ~pw, data = apistrat)
battery("api.strat", ", strata => stype, weight => pw", plain, c("api00", "api99"),
  list(r = "both == 'Yes'", sql = "both = 'Yes'"), "both")
battery("api.strat", ", strata => stype, weight => pw", plain, c("api00", "api99"),
  list(r = "both == 'Yes'", sql = "both = 'Yes'"), "both", quote(stype == "H" & meals > 20), " WHERE stype = 'H' AND meals > 20")
clus1 <- svydesign(id = ~dnum, weights = ~pw, fpc = ~fpc, data = apiclus1)
battery("api.clus1", ", psu => dnum, weight => pw, fpc => fpc", clus1, c("meals", "api00"),
  list(r = "enroll > 500", sql = "enroll > 500"), c("stype", "stype, both"))
unfixed <- svydesign(id = ~dnum, weights = ~pw, data = apiclus1)
battery("api.clus1", ", weight => pw, psu => dnum", unfixed, c("enroll", "api00"),
  list(r = "both == 'No'", sql = "both = 'No'"), "stype", quote(meals > 40), " WHERE meals > 40")

full <- svydesign(id = ~c, strata = ~h, weights = ~w, fpc = ~big, data = made, nest = TRUE)
battery("api.made", ", fpc => big, weight => w, psu => c, strata => h", full, c("x", "y"),
  list(r = "flag", sql = "flag"), c("g", "h"))
battery("api.made", ", fpc => big, weight => w, psu => c, strata => h", full, c("far", "y"),
  list(r = "flag", sql = "flag"), "g", quote(rare), " WHERE rare")
nofpc <- svydesign(id = ~c, strata = ~h, weights = ~w, data = made, nest = TRUE)
battery("api.made", ", weight => w, psu => c, strata => h", nofpc, c("far", "x"),
  list(r = "y > 10", sql = "y > 10"), c("g", "h, g"))
battery("api.made", ", weight => w, psu => c, strata => h", nofpc, c("x", "y"),
  list(r = "y > 10", sql = "y > 10"), "g", quote(rare), " WHERE rare")

for (rule in c("remove", "certainty", "average", "adjust")) {
  options(survey.lonely.psu = rule)
  design <- svydesign(id = ~c, strata = ~h, weights = ~w, data = lonely, nest = TRUE)
  battery("api.lonely", paste0(", weight => w, psu => c, strata => h, lonely => '", rule, "'"), design, c("x", "y"),
    list(r = "flag", sql = "flag"), c("g", "h"))
}
options(survey.lonely.psu = "fail")

# Replicate weights. Their designs are declared, so that the calls name no column of them.
replicated <- function(name, data, repweights, ...) {
  colnames(repweights) <- paste0("rw", seq_len(ncol(repweights)))
  names(data) <- gsub(".", "_", names(data), fixed = TRUE)
  data <- cbind(data, repweights)
  write.csv(data, paste0(name, ".csv"), row.names = FALSE, na = "")
  svrepdesign(data = data, weights = ~weight, repweights = repweights, ...)
}
replicas <- function(name, design, x, y, condition, keys) {
  fx <- as.formula(paste0("~", x)); fy <- as.formula(paste0("~", y)); fc <- as.formula(paste0("~as.numeric(", condition$r, ")"))
  keep <- function(formula, design) design[!is.na(model.frame(formula, design$variables, na.action = na.pass)[[1]]), ]
  one <- function(sql, row, design) {
    known <- keep(fx, design)
    expect(sql(paste0("svy_mean(", x, ")")), row, fields(svymean(fx, known, deff = TRUE), known))
    expect(sql(paste0("svy_total(", x, ")")), row, fields(svytotal(fx, known, deff = TRUE), known))
    expect(sql(paste0("svy_share(", condition$sql, ")")), row, fields(svymean(fc, keep(fc, design), deff = TRUE), keep(fc, design)))
    both <- keep(fy, known)
    expect(sql(paste0("svy_ratio(", y, ", ", x, ")")), row, fields(svyratio(fy, fx, both), both, deff = FALSE))
    expect(sql(paste0("svy_variance(", x, ")")), row, fields(svyvar(fx, known), known, deff = FALSE))
  }
  one(function(call) paste0("SELECT ", call, " AS s FROM ", name, ".t"), 0, design)
  levels <- sort(unique(design$variables[[keys]]), method = "radix")
  for (row in seq_along(levels)) {
    one(function(call) paste0("SELECT ", keys, ", ", call, " AS s FROM ", name, ".t GROUP BY ", keys, " ORDER BY ", keys), row - 1,
      design[design$variables[[keys]] == levels[row], ])
  }
}
named <- function(frame, weight) { frame$weight <- weight; frame }
jk1 <- as.svrepdesign(unfixed, type = "JK1")
replicas("jk1", replicated("jk1", named(apiclus1[, columns], apiclus1$pw), weights(jk1, "analysis"), type = "JK1", scale = jk1$scale),
  "enroll", "api00", list(r = "both == 'Yes'", sql = "both = 'Yes'"), "stype")
full_weight <- subset(made, w > 0)
jkn <- as.svrepdesign(svydesign(id = ~c, strata = ~h, weights = ~w, data = full_weight, nest = TRUE), type = "JKn")
factors <- weights(jkn, "replication")
replicas("jkn", replicated("jkn", named(full_weight, full_weight$w), factors, type = "JKn", scale = jkn$scale, rscales = jkn$rscales,
  combined.weights = FALSE, mse = TRUE), "x", "y", list(r = "flag", sql = "flag"), "g")
cat(jkn$rscales, sep = "\n", file = "jkn.rscales")
data(scd)
names(scd) <- tolower(names(scd))
scd$weight <- 10 + scd$ambulance / 100
brr <- as.svrepdesign(svydesign(id = ~ambulance, strata = ~esa, weights = ~weight, data = scd, nest = TRUE), type = "BRR")
replicas("brr", replicated("brr", scd, weights(brr, "analysis"), type = "BRR"), "arrests", "alive",
  list(r = "alive > 20", sql = "alive > 20"), "esa")
boot <- as.svrepdesign(unfixed, type = "bootstrap", replicates = 30)
replicas("boot", replicated("boot", named(apiclus1[, columns], apiclus1$pw), weights(boot, "analysis"), type = "bootstrap"),
  "enroll", "api00", list(r = "both == 'Yes'", sql = "both = 'Yes'"), "both")

# Other levels, other effects, other intervals, differences.
expect("SELECT svy_mean(api00, weight => pw, strata => stype, fpc => fpc, level => 0.9, deff => 'replace') AS s FROM api.strat", 0,
  fields(svymean(~api00, strat, deff = "replace"), strat, level = 0.9))
for (level in c(0.95, 0.8)) {
  logit <- svyciprop(~flag, nofpc, method = "xlogit", level = level)
  interval <- attr(logit, "ci")
  expect(paste0("SELECT svy_share(flag, weight => w, psu => c, strata => h, ci => 'logit', level => ", level, ") AS s FROM api.made"), 0,
    list(estimate = as.numeric(logit), ci_low = interval[[1]], ci_high = interval[[2]]))
}
difference <- function(sql, formula, design, by, weights) {
  design <- without(design, formula)
  groups <- svyby(formula, by, design, svymean, covmat = TRUE)
  contrast <- svycontrast(groups, weights)
  inside <- model.frame(by, design$variables)[[1]] %in% names(weights)
  known <- without(design[inside, ], formula)
  statistic <- coef(contrast) / SE(contrast)
  values <- fields(contrast, known, deff = FALSE)
  values$p_value <- 2 * pt(-abs(as.numeric(statistic)), degf(known))
  expect(sql, 0, values)
}
difference("SELECT svy_mean_diff(x, g = 'a', g = 'b', weight => w, psu => c, strata => h) AS s FROM api.made", ~x, nofpc, ~g, c(a = 1, b = -1))
difference("SELECT svy_share_diff(flag, g = 'c', g = 'a', weight => w, psu => c, strata => h, fpc => big) AS s FROM api.made", ~flag01,
  update(full, flag01 = as.numeric(flag)), ~g, c(c = 1, a = -1))
difference("SELECT svy_mean_diff(api00, both = 'Yes', both = 'No', weight => pw, psu => dnum, fpc => fpc) AS s FROM api.clus1", ~api00, clus1, ~both,
  c(Yes = 1, No = -1))

writeLines(c("sql\trow\tfield\tvalue", lines), "expected.tsv")
cat(length(lines), "figures\n")
