/** What is known of models. */
import type { ModelInfo } from '../../index'
import { addon } from './native'

export function catalogue(): Record<string, ModelInfo> {
  return JSON.parse(addon.catalogue())
}
