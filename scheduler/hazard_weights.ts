/**
 * The weights of hazard.ts: what functions in general are like. Numbers only.
 *
 * From a Poisson regression (tests/bench/keepalive_fit.ts) on two published traces: 10,000 gaps of a serverless GPU service's 76 models
 * over 13 days (GenTD26, "people") and 2,000 of 1,000 functions over a day (Azure Functions 2019, "machines"). 40 numbers for 12,000 gaps:
 * fitted on two thirds of the models and tried on the last third, cold starts at equal idle hours differ by 0.1 points from those of the
 * fit on all; fitted on the first nine days and tried on the last four, by 0.1. Boosted trees with a hundred features do 0.2 better on
 * models and days they were not fitted on, and no better on days to come (README.md, "Keep-alive, measured").
 */

/** Ages at which the base is given; between them it is interpolated on the scale of logarithms. */
export const BASE_AGES_S = [10, 40, 150, 600, 2_400, 10_800, 43_200];
/** The logarithm of the hazard at those ages, before history is heard. */
export const BASE = [-0.46, -0.199, -0.462, -0.578, -0.309, -3.251, -8.07];

/** Ages at which weights are given: a minute, half an hour, half a day. */
export const WEIGHT_AGES_S = [60, 1_800, 43_200];
/** For each term of `terms`, its weight at those ages. */
export const WEIGHTS = [
  [0.255, -0.189, 0.064], // bursts within 5 min
  [0.395, 0.214, 0.136], // … 15 min
  [-0.118, -0.197, -0.051], // … 1 h
  [-0.095, -0.118, -0.074], // … 4 h
  [-0.036, 0.898, 0.218], // … 1 day
  [0.073, -0.249, 0.098], // … 4 days
  [0.922, 1.213, -0.145], // how often its own gaps ended at this age
  [0.1, 0.096, 0.281], // its own activity at that hour of the day
  [-0.007, 0.047, -0.11], // time since its last quiet
  [-0.056, -0.021, -0.379], // time since its fourth last quiet
  [-0.043, 0.731, 0.211], // everybody's activity at that hour
];

/** What is expected of a function of which nothing is known: the chance per second that a gap ends, by cell of `AGES_S`. */
export const TYPICAL = [
  0.00866,
  0.0132,
  0.0134,
  0.0108,
  0.00834,
  0.00587,
  0.004,
  0.00293,
  0.00199,
  0.00147,
  0.00121,
  0.000794,
  0.00066,
  0.000481,
  0.000336,
  0.00023,
  0.000143,
  7.32e-05,
  5.88e-05,
  5.96e-05,
  2.84e-05,
  1.91e-05,
  9.05e-06,
  9.32e-06,
  1.33e-05,
  1.84e-05,
];
