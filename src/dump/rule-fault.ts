/** A fault in a rule, at its column. */
export class RuleFault extends Error {
  readonly column: number;

  constructor(message: string, column: number) {
    super(message);
    this.column = column;
  }
}
