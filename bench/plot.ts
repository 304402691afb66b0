/** Packets a second against the number of rules, as an SVG without any library. Both axes are logarithmic. */
import { median } from "./measure.ts";
import type { Group } from "./question.ts";

/** One line of the plot. */
interface Series {
  readonly name: string;
  readonly points: readonly (readonly [at: number, rate: number])[];
}

const WIDTH = 880;
const HEIGHT = 460;
const LEFT = 80;
const RIGHT = 250;
const TOP = 50;
const BOTTOM = 50;
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/** Draws the groups of one question that end in these words. */
export function plotThroughput(
  groups: readonly Group[],
  {
    title,
    across,
    suffix,
  }: { readonly title: string; readonly across: string; readonly suffix: string },
): string {
  const series = seriesOf(groups.filter(({ size }) => size.endsWith(suffix)));
  const ats = series.flatMap(({ points }) => points.map(([at]) => at));
  const rates = series.flatMap(({ points }) => points.map(([, rate]) => rate));
  const x = scale(decades(ats), LEFT, WIDTH - RIGHT);
  const y = scale(decades(rates), HEIGHT - BOTTOM, TOP);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="26" font-size="15" font-weight="bold">${escape(title)}</text>`,
    ...ticks(ats).map((at) =>
      [
        line([x(at), TOP], [x(at), HEIGHT - BOTTOM]),
        label(x(at), HEIGHT - BOTTOM + 18, "middle", count(at)),
      ].join(""),
    ),
    ...ticks(rates).map((rate) =>
      [
        line([LEFT, y(rate)], [WIDTH - RIGHT, y(rate)]),
        label(LEFT - 8, y(rate) + 4, "end", count(rate)),
      ].join(""),
    ),
    label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "middle", across),
    ...series.map((one, index) =>
      drawSeries(one, COLOURS[index % COLOURS.length]!, index, { x, y }),
    ),
    "</svg>\n",
  ].join("\n");
}

function seriesOf(groups: readonly Group[]): Series[] {
  const names = [...new Set(groups.flatMap(({ tasks }) => tasks.map(({ task }) => task)))];
  return names.map((name) => ({
    name,
    points: groups.flatMap(({ at, tasks }) => {
      const measured = tasks.find(({ task }) => task === name);
      if (at === undefined || measured === undefined) return [];
      return [[at, measured.units / median(measured.seconds)] as const];
    }),
  }));
}

function drawSeries(
  { name, points }: Series,
  colour: string,
  index: number,
  { x, y }: { readonly x: (at: number) => number; readonly y: (rate: number) => number },
): string {
  const places = points.map(([at, rate]) => [x(at).toFixed(1), y(rate).toFixed(1)] as const);
  const legend = TOP + 12 + index * 22;
  const left = WIDTH - RIGHT + 24;
  return [
    `<polyline points="${places.map((place) => place.join(",")).join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3.5" fill="${colour}"/>`),
    `<rect x="${left}" y="${legend - 9}" width="14" height="4" fill="${colour}"/>`,
    label(left + 22, legend - 3, "start", name),
  ].join("");
}

function decades(values: readonly number[]): [low: number, high: number] {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.ceil(Math.log10(Math.max(...values)));
  return [low, Math.max(high, low + 1)];
}

function scale(
  [low, high]: readonly [number, number],
  from: number,
  to: number,
): (value: number) => number {
  return (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from);
}

function ticks(values: readonly number[]): number[] {
  const [low, high] = decades(values);
  return Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
}

function line([x1, y1]: readonly [number, number], [x2, y2]: readonly [number, number]): string {
  return `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="#ddd"/>`;
}

function label(x: number, y: number, anchor: string, text: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escape(text)}</text>`;
}

function count(value: number): string {
  return value >= 1e6 ? `${value / 1e6} M` : value.toLocaleString("en-US");
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
