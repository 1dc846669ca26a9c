/** @file Lays out what `--help` prints: citty pads each line to the longest, wider than any terminal. */
import { stripVTControlCharacters } from 'node:util';

/** Descriptions begin at this column at the latest; the names of longer options have a line of their own. */
const WIDEST_NAMES = 34;

/** @param usage what citty made, names and descriptions in two columns @param columns how wide the terminal is */
export function layOutUsage(usage: string, columns: number): string {
  const lines = usage.split('\n').map((line) => {
    const plain = line.trimEnd();
    const [, name, description] = /^ +(\S.*?) {4,}(\S.*)$/.exec(plain) ?? [];
    return name === undefined || description === undefined ? plain : { name, description };
  });
  const widths = lines.map((line) => (typeof line === 'string' ? 0 : widthOf(line.name)));
  const indent = Math.min(WIDEST_NAMES, Math.max(...widths) + 4);
  return lines
    .map((line) => {
      if (typeof line === 'string') return line;
      const room = indent - 2 - widthOf(line.name);
      const description = wrap(line.description, Math.max(20, columns - indent)).join(
        `\n${' '.repeat(indent)}`,
      );
      return `  ${line.name}${room < 2 ? `\n${' '.repeat(indent)}` : ' '.repeat(room)}${description}`;
    })
    .join('\n');
}

/** How many columns a text takes: citty colours names. */
const widthOf = (text: string): number => stripVTControlCharacters(text).length;

/** The lines of a text that are `width` long at most, unless a word is longer. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && widthOf(`${line} ${word}`) > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
