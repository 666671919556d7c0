import { backend } from '@/lib/provider'

export const dynamic = 'force-dynamic'

export async function GET(): Promise<Response> {
  const { status } = await backend()
  return Response.json(status(), { headers: { 'cache-control': 'no-store' } })
}
