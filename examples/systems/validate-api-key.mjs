import { validateApiKey } from 'holysheep'

console.log(validateApiKey('  sk-holysheep-0123456789abcdef \n'))
try {
  validateApiKey('sk-too-short')
} catch (error) {
  console.log(error.code, error.message)
}
