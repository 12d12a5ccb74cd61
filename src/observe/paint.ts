/** Colours of terminals. */
import { styleText } from 'node:util'

/** How a text may look, as Node's `styleText` has it. */
export type Style = Extract<Parameters<typeof styleText>[0], string>

/** The text in a style, where colours are wanted. */
export function paint(colours: boolean, style: Style, text: string): string {
  return colours ? styleText(style, text, { validateStream: false }) : text
}
