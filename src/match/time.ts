/** `-m time`: when the packet comes, by date, time of day and day. */
import { MATCH_TIME, TIME_CONTIGUOUS, TIME_KERNEL_ZONE } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, OptionUse } from "./extension.ts";
import { refuseInvert, useOf, wordOf } from "./words.ts";

/** All conditions must hold; dates and times inclusive, in UTC unless `kernelZone`. */
export interface TimeMatch {
  readonly kind: "time";
  /** Seconds since 1970. */
  readonly dateStart: number;
  readonly dateStop: number;
  /** Seconds since midnight; a start behind the stop goes over midnight. */
  readonly dayStart: number;
  readonly dayStop: number;
  /** Bit per day, from bit 1. */
  readonly monthDays: number;
  /** Bit per day, Monday is bit 1. */
  readonly weekDays: number;
  /** The hours behind midnight count to the day before. */
  readonly contiguous: boolean;
  /** In the zone that the kernel was told. */
  readonly kernelZone: boolean;
}

const DAY = 86_400;
const ALL_MONTH_DAYS = 0xfffffffe;
const ALL_WEEK_DAYS = 0xfe;
/** > iptables prints and loads this date where none was given. */
const LAST_DATE = 0x7fffffff;
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] as const;

const NAMES = {
  "--datestart": 1,
  "--datestop": 1,
  "--timestart": 1,
  "--timestop": 1,
  "--monthdays": 1,
  "--weekdays": 1,
  "--contiguous": 0,
  "--kerneltz": 0,
  "--localtz": 0,
  "--utc": 0,
} as const;

/** `-m time [--timestart T] [--timestop T] [--monthdays N,...] [--weekdays D,...] [--datestart D] ...`. */
export const timeMatch: MatchExtension<TimeMatch> = {
  kind: "time",
  id: MATCH_TIME,
  modules: [
    {
      name: "time",
      options: NAMES,
      parse(options) {
        const days = ["--monthdays", "--weekdays"];
        refuseInvert(...options.filter(({ name }) => !days.includes(name)));
        const date = (name: keyof typeof NAMES, otherwise: number): number => {
          const use = useOf(options, name);
          return use === undefined ? otherwise : parseDate(use);
        };
        const time = (name: keyof typeof NAMES, otherwise: number): number => {
          const use = useOf(options, name);
          return use === undefined ? otherwise : parseTime(use);
        };
        const zone = useOf(options, "--kerneltz", "--localtz");
        if (zone !== undefined && useOf(options, "--utc") !== undefined) {
          throw new RuleError(`--utc and ${zone.name} exclude each other`, zone);
        }
        const dayStart = time("--timestart", 0);
        const dayStop = time("--timestop", DAY - 1);
        const contiguous = useOf(options, "--contiguous");
        if (contiguous !== undefined && dayStart < dayStop) {
          throw new RuleError("--contiguous needs a time that goes over midnight", contiguous);
        }
        return {
          kind: "time",
          dateStart: date("--datestart", 0),
          dateStop: date("--datestop", LAST_DATE),
          dayStart,
          dayStop,
          monthDays: parseDays(useOf(options, "--monthdays"), ALL_MONTH_DAYS, monthDay),
          weekDays: parseDays(useOf(options, "--weekdays"), ALL_WEEK_DAYS, weekDay),
          contiguous: contiguous !== undefined,
          kernelZone: zone !== undefined,
        };
      },
    },
  ],
  render(match) {
    const { dateStart, dateStop, dayStart, dayStop, monthDays, weekDays } = match;
    const wholeDay = dayStart === 0 && dayStop === DAY - 1;
    return [
      "-m time",
      ...(wholeDay
        ? []
        : [`--timestart ${formatTime(dayStart)}`, `--timestop ${formatTime(dayStop)}`]),
      ...(monthDays === ALL_MONTH_DAYS ? [] : [`--monthdays ${bitsOf(monthDays).join(",")}`]),
      ...(weekDays === ALL_WEEK_DAYS
        ? []
        : [
            `--weekdays ${bitsOf(weekDays)
              .map((day) => DAYS[day - 1] ?? "")
              .join(",")}`,
          ]),
      ...(dateStart === 0 ? [] : [`--datestart ${formatDate(dateStart)}`]),
      ...(dateStop === 0xffffffff ? [] : [`--datestop ${formatDate(dateStop)}`]),
      ...(match.kernelZone ? ["--kerneltz"] : []),
      ...(match.contiguous ? ["--contiguous"] : []),
    ].join(" ");
  },
  /** Date start u32, date stop u32, day start u32, day stop u32, month days u32, week days u8, TIME_* u8. */
  pack(match, writer) {
    writer.u32(match.dateStart);
    writer.u32(match.dateStop);
    writer.u32(match.dayStart);
    writer.u32(match.dayStop);
    writer.u32(match.monthDays);
    writer.u8(match.weekDays);
    writer.u8((match.contiguous ? TIME_CONTIGUOUS : 0) | (match.kernelZone ? TIME_KERNEL_ZONE : 0));
  },
};

/** `YYYY[-MM[-DD[Thh[:mm[:ss]]]]]` */
function parseDate(use: OptionUse): number {
  const text = wordOf(use);
  const parts = /^(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:T(\d\d?)(?::(\d\d?)(?::(\d\d?))?)?)?)?)?$/.exec(
    text,
  );
  const [year = NaN, month = 1, day = 1, hour = 0, minute = 0, second = 0] =
    parts
      ?.slice(1)
      .map((part: string | undefined) => (part === undefined ? undefined : Number(part))) ?? [];
  const fits = year >= 1970 && year <= 2038 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
  if (!fits || hour > 23 || minute > 59 || second > 59) {
    throw new RuleError(`${use.name} ${text}: expected YYYY-MM-DDThh:mm:ss`, use);
  }
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
}

/** `hh:mm[:ss]` */
function parseTime(use: OptionUse): number {
  const text = wordOf(use);
  const parts = /^(\d\d?):(\d\d?)(?::(\d\d?))?$/.exec(text);
  const [hour = NaN, minute = NaN, second = 0] =
    parts
      ?.slice(1)
      .map((part: string | undefined) => (part === undefined ? undefined : Number(part))) ?? [];
  if (!(hour < 24 && minute < 60 && second < 60)) {
    throw new RuleError(`${use.name} ${text}: expected hh:mm:ss`, use);
  }
  return (hour * 60 + minute) * 60 + second;
}

/** > A negated list is turned into its opposite. */
function parseDays(
  use: OptionUse | undefined,
  all: number,
  dayOf: (text: string) => number | undefined,
): number {
  if (use === undefined) return all;
  let days = 0;
  for (const text of wordOf(use).split(",")) {
    const day = dayOf(text);
    if (day === undefined) throw new RuleError(`${use.name}: ${text} is no day`, use);
    days |= 1 << day;
  }
  return (use.invert ? all & ~days : days) >>> 0;
}

function monthDay(text: string): number | undefined {
  const day = /^\d+$/.test(text) ? Number(text) : 0;
  return day >= 1 && day <= 31 ? day : undefined;
}

/** By number, or by its first two letters or more. */
function weekDay(text: string): number | undefined {
  if (/^[1-7]$/.test(text)) return Number(text);
  const at = DAYS.findIndex((day) => day === text || day.slice(0, 2) === text);
  return at < 0 ? undefined : at + 1;
}

function bitsOf(days: number): number[] {
  return Array.from({ length: 31 }, (_, index) => index + 1).filter(
    (day) => (days & (1 << day)) !== 0,
  );
}

function formatTime(seconds: number): string {
  const parts = [seconds / 3600, (seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(Math.floor(part)).padStart(2, "0")).join(":");
}

function formatDate(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19);
}
