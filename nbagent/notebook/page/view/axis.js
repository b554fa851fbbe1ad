// Where a moment lies on the axis of a timeline, and the marks on it. Nothing here touches a page.
//
// Rule 1: stretches in which nothing ran (a person was asked, the kernel was dead) are cut short,
//         and say how long they were.
// @ts-check

const GAP = 0.12; // of all the working time: a pause longer than this is cut to it
const NICE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400];
const TICKS = 5;

/**
 * Where each moment lies on the axis, from 0 to 1, with long pauses cut short.
 * @param {Array<{start: number, duration: number}>} rows @param {number} now
 */
export function axis(rows, now) {
  const busy = rows.map((row) => [row.start, row.start + Math.max(0, row.duration)]).sort((a, b) => a[0] - b[0]);
  /** @type {number[][]} */
  const stretches = [];
  for (const [start, end] of busy) {
    const last = stretches[stretches.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else stretches.push([start, Math.min(end, Math.max(now, end))]);
  }
  const worked = stretches.reduce((sum, [start, end]) => sum + end - start, 0) || 1e-6;
  const most = worked * GAP;
  /** @type {Array<{from: number, to: number, at: number, length: number}>} */
  const pieces = [];
  /** @type {Array<{from: number, length: number, at: number, seconds: number}>} */
  const cuts = [];
  let at = 0;
  stretches.forEach(([start, end], index) => {
    if (index) {
      const gap = start - stretches[index - 1][1];
      const length = Math.min(gap, most);
      if (gap > most) cuts.push({ from: at, length, at: at + length / 2, seconds: gap });
      pieces.push({ from: stretches[index - 1][1], to: start, at, length });
      at += length;
    }
    pieces.push({ from: start, to: end, at, length: end - start });
    at += end - start;
  });
  const total = at || 1;
  /** @param {number} moment */
  const place = (moment) => {
    const piece = pieces.find((one) => moment <= one.to) || pieces[pieces.length - 1];
    if (!piece) return 0;
    const part = piece.to > piece.from ? Math.min(1, Math.max(0, (moment - piece.from) / (piece.to - piece.from))) : 0;
    return (piece.at + part * piece.length) / total;
  };
  const scaled = cuts.map((cut) => ({ from: cut.from / total, length: cut.length / total, at: cut.at / total, seconds: cut.seconds }));
  return { place, cuts: scaled, worked, first: stretches[0]?.[0] ?? now, total };
}

/**
 * Three to six round marks: seconds from the beginning, where each lies, and whether its name has room.
 * @param {ReturnType<typeof axis>} on @returns {Array<{seconds: number, at: number, isNamed: boolean}>}
 */
export function ticks(on) {
  const small = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, ...NICE];
  const step = small.find((one) => on.total / one <= TICKS * 2) ?? 86400 * Math.ceil(on.total / 86400 / TICKS);
  /** @type {Array<{seconds: number, at: number, isNamed: boolean}>} */
  const found = [];
  let named = -1;
  let seconds = 0;
  for (let guard = 0; guard < 60; guard++) {
    const at = on.place(on.first + seconds);
    if (at >= 1) break;
    const cut = on.cuts.find((one) => at > one.from + 1e-9 && at < one.from + one.length - 1e-9);
    if (cut) {
      // The next round moment after what was cut out.
      seconds = Math.ceil(after(on, cut) / step) * step;
      continue;
    }
    const isNamed = at - named > 0.14 && at < 0.93;
    if (isNamed) named = at;
    if (!found.length || at > found[found.length - 1].at) found.push({ seconds, at, isNamed });
    seconds += step;
  }
  return found;
}

/** How many seconds from the beginning a cut ends. @param {ReturnType<typeof axis>} on @param {{from: number, length: number, seconds: number}} cut */
function after(on, cut) {
  const before = on.cuts.filter((one) => one.from < cut.from).reduce((sum, one) => sum + one.seconds - one.length * on.total, 0);
  return cut.from * on.total + before + cut.seconds;
}
