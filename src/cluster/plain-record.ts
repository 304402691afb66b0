/** Maps as objects: what they hold, and the order of their keys where an object has another. */
import { Unread } from "./unread.ts";

/** A map that has no keys but the input's own; `__proto__` is one like any other. */
export class PlainRecord {
  [key: string]: unknown;
}
Reflect.deleteProperty(PlainRecord.prototype, "constructor");
Object.setPrototypeOf(PlainRecord.prototype, null);

/** Notes a key of a map: undefined as long as an object keeps the map's order. */
export function noteKey(
  record: Record<string, unknown>,
  key: string,
  keys: string[] | undefined,
): string[] | undefined {
  // Twice the same key is for the library to report.
  if (record[key] !== undefined) throw new Unread();
  // An object has keys that are numbers before all others.
  const code = key.charCodeAt(0);
  const noted = keys ?? (code >= 0x30 && code <= 0x39 ? Object.keys(record) : undefined);
  noted?.push(key);
  return noted;
}
