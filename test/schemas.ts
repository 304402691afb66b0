/** Validators of JSON Schemas: those that the package ships, and SARIF's. */
import { readFileSync } from "node:fs";
import { Ajv2020, type AnySchemaObject, type ValidateFunction } from "ajv/dist/2020.js";
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

/** One of `schemas/`; `closed` refuses fields that it does not name, which readers are to let pass. */
export function shippedValidator(name: string, closed: boolean): ValidateFunction {
  const ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: true });
  formats.default(ajv);
  const shared = read(new URL("../schemas/common.schema.json", import.meta.url));
  const schema = read(new URL(`../schemas/${name}.schema.json`, import.meta.url));
  ajv.addSchema(closed ? close(shared) : shared);
  return ajv.compile(closed ? close(schema) : schema);
}

/** What other schemas add fields to. */
const OPEN = new Set(["tuple", "attribution", "judged"]);

/** Lets no object have a field that its schema does not name. */
function close<T>(schema: T): T {
  if (Array.isArray(schema)) return schema.map((item: unknown) => close(item)) as T;
  if (typeof schema !== "object" || schema === null) return schema;
  const closed = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [
      key,
      OPEN.has(key) ? value : close(value as unknown),
    ]),
  );
  const named = "properties" in closed && closed["type"] === "object";
  return (named ? { ...closed, unevaluatedProperties: false } : closed) as T;
}
