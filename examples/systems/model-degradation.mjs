// simulate: [{},{"status":503}]
import { ModelDegradationManager } from 'holysheep'

const manager = new ModelDegradationManager(process.env.HOLYSHEEP_API_KEY)
for (const content of ['Cửa hàng mở cửa mấy giờ?', 'Phân tích và so sánh hai sản phẩm']) {
  const result = await manager.callWithDegradation([{ role: 'user', content }])
  console.log(result.originalComplexity, result.modelUsed, 'fallback:', result.fallbackTriggered)
}
console.log(manager.getDegradationStats())
