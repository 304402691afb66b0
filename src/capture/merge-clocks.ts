/**
 * Whether the times of several captures can be compared. Where they cannot, nobody knows the order of
 * the packets; where it takes an assumption, that is said.
 */
import type { OnDiagnostic } from "../errors.ts";
import type { CaptureClock } from "./format.ts";
import type { Lane } from "./merge-lane.ts";

/** Tells whether the packets' order is known; what is wrong or assumed was reported as CAPTURE_ORDER. */
export function checkClocks(lanes: readonly Lane[], onDiagnostic: OnDiagnostic): boolean {
  if (lanes.length < 2) return true;
  const clocks = new Map(lanes.map((lane) => [lane, clockOf(lane)]));
  const having = (clock: CaptureClock | undefined): Lane[] =>
    lanes.filter((lane) => clocks.get(lane) === clock);
  const dated = [...having("epoch"), ...having("calendar")];
  let known = true;
  const refuse = (lane: Lane, message: string): void => {
    known = false;
    report(lane, "error", message);
  };
  const report = (lane: Lane, severity: "error" | "warning", message: string): void =>
    onDiagnostic({ severity, code: "CAPTURE_ORDER", message, place: { file: lane.stream.file } });

  for (const lane of having(undefined)) {
    const what = "its first packet has no time, so it has no place among those of other captures";
    refuse(lane, what);
  }
  for (const lane of having("first-packet")) {
    const what = "its times count from its own first packet, so they say nothing of other captures";
    refuse(lane, `${what} (expected those of tcpdump -tttt or -tt)`);
  }
  const [inDay] = having("day");
  const [withDate] = dated;
  if (withDate !== undefined) {
    const what = `its times have no date, and those of ${withDate.stream.file} have: their order is not known`;
    for (const lane of having("day"))
      refuse(lane, `${what} (expected those of tcpdump -tttt or -tt)`);
  } else if (inDay !== undefined) {
    report(inDay, "warning", "the captures' times have no date: they are taken to be of one day");
  }
  const [exact] = having("epoch");
  const [local] = having("calendar");
  if (exact !== undefined && local !== undefined) {
    const what = `its dates name no time zone: they are taken as UTC among those of ${exact.stream.file}`;
    report(local, "warning", what);
  }
  return known;
}

function clockOf(lane: Lane): CaptureClock | undefined {
  return lane.timed ? lane.stream.reader.clock : undefined;
}
