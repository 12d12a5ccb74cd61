/** The development broker does what RabbitMQ does, as Python's pika sees it. */
import { conform } from './conform.ts'
import { pikaDriver } from './pika-driver.ts'

conform('pika', pikaDriver)
