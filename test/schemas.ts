/** Validators of JSON Schemas. */
import { readFileSync } from "node:fs";
import type { AnySchemaObject, ValidateFunction } from "ajv";
import draft4 from "ajv-draft-04";
import formats from "ajv-formats";

function read(url: URL | string): AnySchemaObject {
  return JSON.parse(readFileSync(new URL(url), "utf8")) as AnySchemaObject;
}

/** SARIF 2.1.0, as its SDK has it. */
export function sarifValidator(): ValidateFunction {
  const ajv = new draft4.default({ strict: false, unicodeRegExp: false });
  formats.default(ajv);
  const name = "lib/schemas/sarif-2.1.0-rtm.5.json";
  return ajv.compile(
    read(new URL(name, import.meta.resolve("@microsoft/jest-sarif/package.json"))),
  );
}
