/** Reads JUnit's XML by a common reader, and checks that its counts are those of its cases. */
import { parse, type TestCase } from "junit2json";
import { expect } from "vitest";

/** One case as the reader sees it. */
export interface ReadCase {
  readonly name: string;
  /** Message and text. */
  readonly failure?: string;
  readonly skipped?: string;
}

/** Reads suites; those without a name, and cases without one, are faults. */
export async function readJunit(text: string): Promise<{ name: string; cases: ReadCase[] }[]> {
  const whole = await parse(text);
  if (whole === undefined || whole === null || !("testsuite" in whole)) {
    throw new Error("there are no suites");
  }
  const suites = (whole.testsuite ?? []).map((suite) => {
    const cases = (suite.testcase ?? []).map(readCase);
    expect(suite).toMatchObject({
      name: expect.stringMatching(/./) as string,
      tests: cases.length,
      failures: cases.filter(({ failure }) => failure !== undefined).length,
      errors: 0,
      skipped: cases.filter(({ skipped }) => skipped !== undefined).length,
    });
    return { name: suite.name ?? "", cases };
  });
  const all = suites.flatMap(({ cases }) => cases);
  expect(whole).toMatchObject({
    tests: all.length,
    failures: all.filter(({ failure }) => failure !== undefined).length,
  });
  return suites;
}

function readCase({ name = "", classname = "", failure, skipped }: TestCase): ReadCase {
  for (const word of [name, classname]) expect(word).not.toBe("");
  const [failed, left] = [failure?.[0], skipped?.[0]];
  return {
    name,
    ...(failed === undefined ? {} : { failure: `${failed.message ?? ""}\n${failed.inner ?? ""}` }),
    ...(left === undefined ? {} : { skipped: left.message ?? "" }),
  };
}
