/** `text` with what cannot be seen, or steers a terminal, written as `\u009b`: what came from the wire is shown, not obeyed. */
export function visible(text: string): string {
  return text.replace(/\p{C}/gu, one => `\\u${one.codePointAt(0)!.toString(16).padStart(4, '0')}`)
}
