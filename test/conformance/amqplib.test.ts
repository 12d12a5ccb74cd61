/** The development broker does what RabbitMQ does, as amqplib sees it. */
import { amqplibDriver } from './amqplib-driver.ts'
import { conform } from './conform.ts'

conform('amqplib', amqplibDriver)
