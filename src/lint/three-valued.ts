/** Whether a condition holds, where some facts are missing: AND is the least, OR the greatest of two. */
export type Truth = typeof NO | typeof MAYBE | typeof YES;

export const NO = 0;
/** A fact is missing. */
export const MAYBE = 1;
export const YES = 2;

/** All must hold. */
export function both(one: Truth, other: Truth): Truth {
  return one < other ? one : other;
}

/** One is enough. */
export function either(one: Truth, other: Truth): Truth {
  return one > other ? one : other;
}

export function not(truth: Truth): Truth {
  return truth === YES ? NO : truth === NO ? YES : MAYBE;
}
