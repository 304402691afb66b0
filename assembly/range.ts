// A number that a rule remembers and that may not be known: it lies between two others. Where tries leave
// different ones, the range grows to hold them all (journal.ts).

/** Both ends are included. */
@unmanaged
export class Range {
  most: i64;
  least: i64;

  /** Makes it hold what another holds, too. */
  widen(other: Range): void {
    this.most = max(this.most, other.most);
    this.least = min(this.least, other.least);
  }
}
