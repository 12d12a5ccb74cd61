/** Text for people. What is from the wire is made safe: nothing that a terminal or a log reader would take for a command gets through. */

// C0 and C1 controls, DEL, line separators, bidirectional overrides and isolates, invisible marks, lone surrogates.
const HOSTILE =
  // oxlint-disable-next-line no-control-regex -- these are the characters that are looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/gu

/** The text on one line, with every character that could move a cursor, start a sequence or forge a line escaped. */
export function visible(text: string): string {
  return text.replace(HOSTILE, escape)
}

/** Like {@link visible}, for text of several lines: line feeds stay. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n')
}

/** A number of things in words: `1 letter`, `2 letters`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`
}

function escape(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
}
