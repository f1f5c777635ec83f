# What R's `survey` says of raking: Rscript raking.R (Debian: r-cran-survey, r-cran-mass) writes raking.csv, with R's weights in its last
# columns, and raking.margins.csv beside it. Without --trim that is rake(); with it calibrate() to the raking distance.

suppressMessages(library(survey))
options(digits = 17)
set.seed(20240311)

n <- 600
sample_of <- function(values, shares) sample(values, n, replace = TRUE, prob = shares)
d <- data.frame(
  id = seq_len(n),
  gender = sample_of(c("F", "M"), c(0.35, 0.65)),
  age = sample_of(c(15, 22, 31, 41, 51), c(0.25, 0.3, 0.2, 0.15, 0.1)),
  town = sample_of(c("Metro", "1-10 Lakh", "Town, small", "Rural"), c(0.3, 0.25, 0.15, 0.3))
)
d$w <- round(rexp(n, 1 / 40) * ifelse(d$gender == "F", 2, 1) + 1, 3)
d$w[sample(n, 7)] <- 0

population <- 58200
shares <- list(
  gender = c(F = 0.47, M = 0.53),
  age = c("15" = 0.2, "22" = 0.24, "31" = 0.23, "41" = 0.16, "51" = 0.17),
  town = c("Metro" = 0.21, "1-10 Lakh" = 0.14, "Town, small" = 0.12, "Rural" = 0.53)
)
margins <- lapply(names(shares), function(variable) {
  margin <- data.frame(names(shares[[variable]]), Freq = population * as.vector(shares[[variable]]))
  names(margin)[1] <- variable
  margin
})
d$age <- as.character(d$age)
design <- svydesign(ids = ~1, weights = ~w, data = d)

d$post <- weights(postStratify(design, ~age, margins[[2]]))
raked <- rake(design, list(~gender, ~age, ~town), margins, control = list(maxit = 10000, epsilon = 1e-14))
d$raked <- weights(raked)

# The derivative of R's own raking distance looks at the bounds on another scale, and may not arrive.
distance <- make.calfun(
  Fm1 = function(u, bounds) pmin(pmax(exp(u), bounds$lower), bounds$upper) - 1,
  dF = function(u, bounds) ifelse(exp(u) < bounds$upper & exp(u) > bounds$lower, exp(u), 0),
  name = "raking within bounds"
)
mean <- population / sum(d$w > 0)
trimmed <- function(low, high) {
  scaled <- update(design, one = 1)
  # From base weights of the right sum, so that R does not scale them itself.
  scaled$prob <- scaled$prob * sum(d$w) / population
  weights(calibrate(scaled, list(~gender, ~age, ~town), margins, calfun = distance, bounds = c(low, high) * mean,
    bounds.const = TRUE, maxit = 5000, epsilon = 1e-13))
}
d$trimmed <- trimmed(0.2, 4)
d$capped <- trimmed(0, 3)

written <- d
for (column in c("post", "raked", "trimmed", "capped")) written[[column]] <- format(written[[column]], digits = 17, trim = TRUE)
write.csv(written, "raking.csv", row.names = FALSE, quote = c(2, 4))
long <- do.call(rbind, lapply(names(shares), function(variable) {
  data.frame(variable, category = names(shares[[variable]]), population = population * as.vector(shares[[variable]]))
}))
write.csv(long, "raking.margins.csv", row.names = FALSE, quote = 2)
