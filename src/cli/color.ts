/** Whether output is coloured, and the colours. */
import pc from "picocolors";
import { PLAIN } from "../report/layout.ts";
import type { Palette } from "../report/layout.ts";
import type { Sink } from "./output.ts";

/**
 * Chooses the colours of an output: `--color` and `--no-color` win, then NO_COLOR, then FORCE_COLOR, then
 * whether standard output is a terminal. Files get none.
 *
 * @param color what the user asked for; undefined: nothing
 */
export function paletteFor(sink: Pick<Sink, "colorful">, color: boolean | undefined): Palette {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  const wanted = (): boolean => {
    if (color !== undefined) return color;
    if (NO_COLOR !== undefined && NO_COLOR !== "") return false;
    if (FORCE_COLOR !== undefined && FORCE_COLOR !== "") return FORCE_COLOR !== "0";
    return process.stdout.isTTY && TERM !== "dumb";
  };
  return sink.colorful && wanted() ? pc.createColors(true) : PLAIN;
}
