/** @file An SVG picture of where a run's time goes: areas are times, colours shares of the roofline. */
import type { TimedOp } from 'calotype';
import { groupBy, kernelName, sumUp, type Roof } from './roofline.ts';
import { treemap, type Rectangle } from './treemap.ts';

const WIDTH = 1200;
const HEIGHT = 720;
const MARGIN = 16;
/** Height of the line with a group's name. */
const NAME = 18;
/** Of text lines at the top and of the legend at the bottom. */
const LINE = 18;

/**
 * Draws a profile.
 * @param lines title and what else should be said, from the top
 */
export function pictureOfTime(profile: readonly TimedOp[], roof: Roof, lines: readonly string[]): string {
  const timed = profile.filter(({ milliseconds }) => milliseconds > 0);
  const total = timed.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const top = MARGIN + lines.length * LINE + 8;
  const area = { x: MARGIN, y: top, width: WIDTH - 2 * MARGIN, height: HEIGHT - top - LINE - 2 * MARGIN };
  const groups = groupBy(timed, kernelName).map(([name, ops]) => ({
    ops,
    figures: sumUp(name, ops, total, roof),
  }));
  const places = treemap(
    groups.map(({ figures }) => figures.milliseconds),
    area,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...lines.map((line, i) =>
      text(line, MARGIN, MARGIN + (i + 0.7) * LINE, i === 0 ? ' font-size="15" font-weight="bold"' : ''),
    ),
    ...groups.flatMap(({ ops, figures }, i) => [
      tile(places[i], figures.ofRoof, figures.name),
      ...shapes(ops, inner(places[i]), total, roof),
      frame(places[i]),
      label(
        `${figures.name}: ${figures.milliseconds.toFixed(2)} ms, ${(100 * figures.share).toFixed(0)} %, ${(figures.flopsPerSecond / 1e12).toFixed(1)} TFLOP/s`,
        { ...places[i], height: NAME },
        'font-weight="bold"',
      ),
    ]),
    ...legend(),
    '</svg>',
    '',
  ].join('\n');
}

/** A group's ops, by shape. */
function shapes(ops: readonly TimedOp[], area: Rectangle, total: number, roof: Roof): string[] {
  if (area.width < 2 || area.height < 2) return [];
  const rows = groupBy(ops, ({ shape, flops }) => `${shape.join('x')} ${flops}`).map(([, same]) =>
    sumUp(same[0].shape.join('x'), same, total, roof),
  );
  const places = treemap(
    rows.map(({ milliseconds }) => milliseconds),
    area,
  );
  return rows.flatMap((row, i) => {
    const rate = `${(row.flopsPerSecond / 1e12).toFixed(1)} TFLOP/s, ${(row.bytesPerSecond / 1e9).toFixed(0)} GB/s, ${(100 * row.ofRoof).toFixed(0)} % of roof`;
    const what = `${row.count} of ${row.name}`;
    return [
      tile(places[i], row.ofRoof, `${what}: ${row.milliseconds.toFixed(3)} ms, ${rate}`),
      label(`${what}, ${(100 * row.ofRoof).toFixed(0)} %`, places[i]),
    ];
  });
}

function inner({ x, y, width, height }: Rectangle): Rectangle {
  return { x, y: y + NAME, width, height: height - NAME };
}

/** A coloured rectangle that says more under the pointer. */
function tile(place: Rectangle, ofRoof: number, more: string): string {
  return `<rect ${box(place)} fill="${colour(ofRoof)}" stroke="#fff"><title>${escape(more)}</title></rect>`;
}

function frame(place: Rectangle): string {
  return `<rect ${box(place)} fill="none" stroke="#222"/>`;
}

/** Text at the top left of a place, as much as fits. */
function label(content: string, { x, y, width, height }: Rectangle, style = ''): string {
  const most = Math.floor((width - 6) / 6.4);
  if (height < 14 || most < 4) return '';
  const shown = content.length <= most ? content : `${content.slice(0, most - 1)}…`;
  return text(shown, x + 4, y + 13, style && ` ${style}`);
}

function text(content: string, x: number, y: number, style = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${style}>${escape(content)}</text>`;
}

function box({ x, y, width, height }: Rectangle): string {
  const [left, top, across, down] = [x, y, width, height].map((value) => value.toFixed(1));
  return `x="${left}" y="${top}" width="${across}" height="${down}"`;
}

/** From red, nothing of the roofline, through yellow to green, all of it. */
function colour(share: number): string {
  return `hsl(${Math.round(120 * Math.min(1, Math.max(0, share)))} 65% 72%)`;
}

function legend(): string[] {
  const y = HEIGHT - MARGIN - LINE + 4;
  const steps = [0, 0.25, 0.5, 0.75, 1];
  return [
    text('Areas are times. Share of the roofline:', MARGIN, y + 12),
    ...steps.flatMap((share, i) => [
      `<rect x="${260 + 90 * i}" y="${y}" width="16" height="16" fill="${colour(share)}"/>`,
      text(`${100 * share} %`, 282 + 90 * i, y + 12),
    ]),
  ];
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
