import simulator from './dist/simulator.js'

export const { Simulator, startSimulator } = simulator
