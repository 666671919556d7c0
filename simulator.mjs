import simulator from './dist/simulator.js'

export const { Simulator, TestClock, startSimulator, testClock } = simulator
