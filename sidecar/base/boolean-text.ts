/** What a text says that stands for true or false, in any case of letters; undefined for others. As Abseil's `SimpleAtob`. */
export function booleanOf(text: string): boolean | undefined {
  if (/^(?:true|t|yes|y|1)$/i.test(text)) return true
  return /^(?:false|f|no|n|0)$/i.test(text) ? false : undefined
}
