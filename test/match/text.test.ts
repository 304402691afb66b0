/** Rule texts of stateful and byte-reading matches: what iptables-save 1.8.9 prints of them. */
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/match/extension.ts";
import { haveLab } from "../kernel-lab/have-lab.ts";
import { canonicalRule } from "./rules.ts";

// As given | as printed: `=` the same, FAIL: refused.
const TABLE: readonly string[] = [
  "-m limit;-m limit --limit 3/hour",
  "-m limit --limit 3/hour;=",
  "-m limit --limit 7/min --limit-burst 1;=",
  "-m limit --limit 10000/s;-m limit --limit 10000/sec",
  "-m limit --limit 10001/s;FAIL",
  "-m limit --limit 1000/h;-m limit --limit 1000/hour",
  "-m limit --limit 5000/sec --limit-burst 10000;=",
  "-m limit --limit 3/day --limit-burst 10000;=",
  "-m limit ! --limit 3/day;FAIL",
  "-m limit --limit 25;-m limit --limit 25/sec",
  "-m limit --limit 90/m;-m limit --limit 90/min",
  "-m limit --limit 61/min;=",
  "-m limit --limit 7777/sec;-m limit --limit 10000/sec",
  "-m limit --limit 1/x;FAIL",
  "-m limit --limit 0/sec;FAIL",
  "-m limit --limit-burst 10001;FAIL",
  "-m quota ! --quota 1000;=",
  "-m quota --quota 0x10;-m quota --quota 16",
  "-m quota --quota 18446744073709551615;=",
  "-m quota --quota 18446744073709551616;FAIL",
  "-m quota;FAIL",
  '-m u32 --u32 "0>>22&0x3C@ 4 >> 8 = 1 , 010:0x20 && 6&0xFF=6";-m u32 --u32 "0x0>>0x16&0x3c@0x4>>0x8=0x1,0x8:0x20&&0x6&0xff=0x6"',
  '-m u32 ! --u32 "0x0=0x0";=',
  '-m u32 --u32 "0=1:";FAIL',
  '-m u32 --u32 "0";FAIL',
  '-m u32 --u32 "0<<33=5";FAIL',
  '-m u32 --u32 "0=1,2,3,4,5,6,7,8,9,10,11";FAIL',
  '-m u32 --u32 "0=0x100000000";FAIL',
  '-m string --string "a b" --algo bm;=',
  '-m string --algo bm ! --string abc;-m string ! --string "abc" --algo bm',
  '-m string --algo kmp --hex-string "|00 0d0a|abc";-m string --hex-string "|000d0a616263|" --algo kmp',
  '-m string --algo kmp --hex-string "abc";-m string --string "abc" --algo kmp',
  '-m string --algo kmp --hex-string "ab|41|c";-m string --string "abAc" --algo kmp',
  '-m string --algo kmp --hex-string "ab|4|c";FAIL',
  '-m string --algo kmp --hex-string "ab|4";FAIL',
  '-m string --string "ab|00|" --algo bm --from 5 --to 10;=',
  '-m string --string "abc" --algo bm --from 0 --to 65535;-m string --string "abc" --algo bm',
  '-m string --string "abc" --algo bm --to 0;=',
  '-m string --string "abc" --algo bm --from 65536;FAIL',
  '-m string --string "abc" --algo xx;FAIL',
  "-m string --string abc;FAIL",
  "-m string --algo bm;FAIL",
  '-m string --string "" --algo bm;FAIL',
  '-m string --algo bm --string abc --icase --from 4;-m string --string "abc" --algo bm --from 4 --icase',
  `-m string --string "a'b" --algo bm;=`,
  '-m string --string "é" --algo bm;-m string --hex-string "|c3a9|" --algo bm',
  '-m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0";=',
  '-m bpf ! --bytecode "1,6 0 0 1";FAIL',
  '-m bpf --bytecode "1,6 0 0 1,";-m bpf --bytecode "1,6 0 0 1"',
  '-m bpf --bytecode "2,6 0 0 1";FAIL',
  '-m bpf --bytecode "1,0 0 0 1";FAIL',
  '-m bpf --bytecode "2,21 0 1 6,6 0 0 1";FAIL',
  '-m bpf --bytecode "2,52 0 0 0,6 0 0 1";FAIL',
  '-m bpf --bytecode "2,100 0 0 32,6 0 0 1";FAIL',
  '-m bpf --bytecode "2,2 0 0 16,6 0 0 1";FAIL',
  '-m bpf --bytecode "2,177 0 0 0,22 0 0 0";=',
  "-m time;-m time --datestop 2038-01-19T03:14:07",
  "-m time --timestart 01:02:03 --timestop 04:05:06 --monthdays 1,2,3,4,5 --weekdays Mon,Fri,Sun --datestart 2001-02-03T04:05:06 --datestop 2012-09-08T09:06:05 --kerneltz;=",
  "-m time --timestart 02:00 --timestop 01:00 --contiguous;-m time --timestart 02:00:00 --timestop 01:00:00 --datestop 2038-01-19T03:14:07 --contiguous",
  "-m time --timestart 01:00 --timestop 02:00 --contiguous;FAIL",
  "-m time ! --monthdays 1,31 ! --weekdays 6,7;-m time --monthdays 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30 --weekdays Mon,Tue,Wed,Thu,Fri --datestop 2038-01-19T03:14:07",
  "-m time --datestart 2001 --utc;-m time --datestart 2001-01-01T00:00:00 --datestop 2038-01-19T03:14:07",
  "-m time --datestart 2001-02 --localtz;-m time --datestart 2001-02-01T00:00:00 --datestop 2038-01-19T03:14:07 --kerneltz",
  "-m time --datestop 2001-02-03T04;-m time --datestop 2001-02-03T04:00:00",
  "-m time --timestart 24:00;FAIL",
  "-m time --timestart 1:2:3;-m time --timestart 01:02:03 --timestop 23:59:59 --datestop 2038-01-19T03:14:07",
  "-m time --timestart 12;FAIL",
  "-m time --monthdays 32;FAIL",
  "-m time --weekdays Mo,tue;FAIL",
  "-m time --weekdays Mo,Tu;-m time --weekdays Mon,Tue --datestop 2038-01-19T03:14:07",
  "-m time --weekdays Mon,Tue,Wed,Thu,Fri,Sat,Sun;-m time --datestop 2038-01-19T03:14:07",
  "-m time --datestart 1960-01-01;FAIL",
  "-m time --datestart 2030-01-01T00:00:00 --datestop 2020-01-01T00:00:00;=",
  "-m time --utc --kerneltz;FAIL",
  "-m time ! --timestart 05:00;FAIL",
  "-m time --datestart 2001-13;FAIL",
  "-m recent --set;-m recent --set --name DEFAULT --mask 255.255.255.255 --rsource",
  "-m recent ! --rcheck --name x --rdest;-m recent ! --rcheck --name x --mask 255.255.255.255 --rdest",
  "-m recent --update --name x --seconds 60 --hitcount 5 --rttl --reap;-m recent --update --seconds 60 --reap --hitcount 5 --rttl --name x --mask 255.255.255.255 --rsource",
  "-m recent --remove --name x --mask 255.0.255.0 --rdest;=",
  "-m recent --rcheck --hitcount 70000;FAIL",
  "-m recent --rcheck --hitcount 0;-m recent --rcheck --name DEFAULT --mask 255.255.255.255 --rsource",
  "-m recent --rcheck --hitcount 65535;-m recent --rcheck --hitcount 65535 --name DEFAULT --mask 255.255.255.255 --rsource",
  "-m recent --rcheck --reap;FAIL",
  "-m recent --set --rttl;FAIL",
  "-m recent --set --seconds 5;FAIL",
  "-m recent --set --rcheck;FAIL",
  "-m recent;FAIL",
  "-m recent --rcheck --name x --mask 24;-m recent --rcheck --name x --mask 0.0.0.24 --rsource",
  '-m recent --set --name "";FAIL',
  "-m recent --set --name a/b;FAIL",
  "-m recent --rcheck --seconds 0;FAIL",
  "-m recent --rcheck --rsource --rdest;-m recent --rcheck --name DEFAULT --mask 255.255.255.255 --rdest",
  "-m hashlimit --hashlimit-above 1/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name mini1;=",
  "-m hashlimit --hashlimit-upto 1000000/sec --hashlimit-burst 1000000 --hashlimit-name a;=",
  "-m hashlimit --hashlimit-upto 1000001/sec --hashlimit-burst 5 --hashlimit-name a;FAIL",
  "-m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 1000001 --hashlimit-name a;FAIL",
  "-m hashlimit --hashlimit-above 7/min --hashlimit-mode dstip,srcip,dstport,srcport --hashlimit-name b --hashlimit-srcmask 24 --hashlimit-dstmask 16;-m hashlimit --hashlimit-above 7/min --hashlimit-burst 5 --hashlimit-mode srcip,srcport,dstip,dstport --hashlimit-name b --hashlimit-srcmask 24 --hashlimit-dstmask 16",
  "-m hashlimit --hashlimit-above 1/day --hashlimit-name b;FAIL",
  "-m hashlimit --hashlimit-above 1/day --hashlimit-burst 1 --hashlimit-name b;=",
  "-m hashlimit --hashlimit-above 1/hour --hashlimit-burst 5 --hashlimit-name b --hashlimit-htable-size 10 --hashlimit-htable-max 100 --hashlimit-htable-gcinterval 500 --hashlimit-htable-expire 3000;=",
  "-m hashlimit --hashlimit-above 1/min --hashlimit-name b --hashlimit-htable-expire 60000;-m hashlimit --hashlimit-above 1/min --hashlimit-burst 5 --hashlimit-name b",
  "-m hashlimit --hashlimit-above 1/min --hashlimit-burst 5 --hashlimit-name b --hashlimit-htable-expire 10000;=",
  "-m hashlimit --hashlimit 5/sec --hashlimit-name b;-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name b",
  "-m hashlimit --hashlimit-upto 512kb/s --hashlimit-name b;=",
  "-m hashlimit --hashlimit-above 1b/s --hashlimit-name b;-m hashlimit --hashlimit-above 0b/s --hashlimit-name b",
  "-m hashlimit --hashlimit-above 16b/s --hashlimit-name b;=",
  "-m hashlimit --hashlimit-above 1mb/s --hashlimit-burst 2mb --hashlimit-name b;=",
  "-m hashlimit --hashlimit-above 1000kb/s --hashlimit-burst 1200kb --hashlimit-name b;-m hashlimit --hashlimit-above 1000kb/s --hashlimit-burst 1mb --hashlimit-name b",
  "-m hashlimit --hashlimit-above 4095kb/s --hashlimit-name b;=",
  "-m hashlimit --hashlimit-above 1mb/s --hashlimit-burst 1kb --hashlimit-name b;FAIL",
  "-m hashlimit --hashlimit-above 40000kb/s --hashlimit-name b;-m hashlimit --hashlimit-above 40017kb/s --hashlimit-name b",
  "-m hashlimit --hashlimit-above 1kb/min --hashlimit-name b;-m hashlimit --hashlimit-above 1/min --hashlimit-burst 5 --hashlimit-name b",
  "-m hashlimit --hashlimit-above 100b/s --hashlimit-burst 300b --hashlimit-name b;-m hashlimit --hashlimit-above 96b/s --hashlimit-burst 384b --hashlimit-name b",
  "-m hashlimit --hashlimit-above 100b/s --hashlimit-burst 5 --hashlimit-name b;FAIL",
  "-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name b --hashlimit-rate-match --hashlimit-rate-interval 2;=",
  "-m hashlimit --hashlimit-upto 5/min --hashlimit-rate-match --hashlimit-name b;-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name b --hashlimit-htable-expire 60000 --hashlimit-rate-match --hashlimit-rate-interval 60",
  "-m hashlimit --hashlimit-above 1mb/s --hashlimit-burst 4mb --hashlimit-name b --hashlimit-rate-match;=",
  "-m hashlimit --hashlimit-upto 5/sec --hashlimit-rate-interval 2 --hashlimit-name b;-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name b",
  "-m hashlimit ! --hashlimit-above 5/sec --hashlimit-name b;-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name b",
  "-m hashlimit ! --hashlimit-upto 5/sec --hashlimit-name b;-m hashlimit --hashlimit-above 5/sec --hashlimit-burst 5 --hashlimit-name b",
  "-m hashlimit --hashlimit-upto 5/sec;FAIL",
  "-m hashlimit --hashlimit-name b;FAIL",
  "-m hashlimit --hashlimit-upto 5/sec --hashlimit-mode src --hashlimit-name b;FAIL",
  "-m hashlimit --hashlimit-upto 5/sec --hashlimit-srcmask 33 --hashlimit-name b;FAIL",
  "-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-mode srcip,dstip --hashlimit-name b --hashlimit-dstmask 0;=",
  "-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 0 --hashlimit-name b;FAIL",
  "-m hashlimit --hashlimit-upto 999999/sec --hashlimit-name a;-m hashlimit --hashlimit-upto 1000000/sec --hashlimit-burst 5 --hashlimit-name a",
  "-m hashlimit --hashlimit-upto 3/hour --hashlimit-above 5/sec --hashlimit-name a;FAIL",
  "-m hashlimit --hashlimit-upto 100gb/s --hashlimit-name a;-m hashlimit --hashlimit-upto 96b/s --hashlimit-name a",
  "-m connbytes --connbytes 10: --connbytes-dir original --connbytes-mode packets;-m connbytes --connbytes 10 --connbytes-mode packets --connbytes-dir original",
  "-m connbytes ! --connbytes 10:100 --connbytes-mode avgpkt --connbytes-dir reply;=",
  "-m connbytes --connbytes :5 --connbytes-dir both --connbytes-mode bytes;-m connbytes --connbytes 0:5 --connbytes-mode bytes --connbytes-dir both",
  "-m connbytes --connbytes 10;FAIL",
  "-m connbytes --connbytes 10:5 --connbytes-dir both --connbytes-mode bytes;FAIL",
  "-m connlimit --connlimit-above 3 --connlimit-mask 24 --connlimit-daddr;=",
  "-m connlimit --connlimit-upto 3;-m connlimit --connlimit-upto 3 --connlimit-mask 32 --connlimit-saddr",
  "-m connlimit ! --connlimit-above 3;-m connlimit --connlimit-upto 3 --connlimit-mask 32 --connlimit-saddr",
  "-m connlimit --connlimit-above 3 --connlimit-mask 255.255.0.0;-m connlimit --connlimit-above 3 --connlimit-mask 16 --connlimit-saddr",
  "-m connlimit --connlimit-above 3 --connlimit-mask 33;-m connlimit --connlimit-above 3 --connlimit-mask 32 --connlimit-saddr",
  "-m statistic --mode nth ! --every 5 --packet 2;=",
  "-m statistic --mode nth ! --every 5 --packet 5;FAIL",
  "-m statistic --mode random ! --probability 0.50000000000;=",
];

const ROWS = TABLE.map((row) => {
  const [given = "", printed = ""] = row.split(";");
  return { given, printed: printed === "=" ? given : printed };
});

const BACKENDS: readonly Backend[] = ["legacy", "nft"];
const PLACE = { table: "filter", chain: "FORWARD" };

describe.each(BACKENDS)("rules of iptables-%s", (backend) => {
  it.each(ROWS)("$given", ({ given, printed }) => {
    expect(canonicalRule(given, PLACE, { family: 4, backend })).toBe(printed);
    if (printed === "FAIL") return;
    expect(canonicalRule(printed, PLACE, { family: 4, backend })).toBe(printed);
  });
});

describe.skipIf(!haveLab())("the kernel's own text", () => {
  it.each(BACKENDS)("is the same, with %s", (backend) => {
    const script = `while IFS= read -r rule; do
      if printf '*filter\\n-A FORWARD %s\\nCOMMIT\\n' "$rule" | iptables-$1-restore 2>/dev/null
      then iptables-$1-save | sed -n 's/^-A FORWARD //p'; else echo FAIL; fi
      iptables-$1 -F
    done`;
    const { stdout } = spawnSync("unshare", ["-n", "sh", "-c", script, "sh", backend], {
      input: ROWS.map(({ given }) => `${given}\n`).join(""),
      encoding: "utf8",
    });
    const texts = stdout.trimEnd().split("\n");
    const said = ROWS.map(({ given }, index) => `${given};${texts[index] ?? ""}`);
    expect(said).toEqual(ROWS.map(({ given, printed }) => `${given};${printed}`));
  });
});
