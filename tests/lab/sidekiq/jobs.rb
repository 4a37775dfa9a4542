# frozen_string_literal: true

# The jobs of a small shop. Each leaves a trace in the list "done", so that a test sees how often it ran.
require "sidekiq"

module Shop
  def self.done(name, number)
    Sidekiq.redis { |connection| connection.rpush("done", "#{name}:#{number}") }
  end
end

class Register
  include Sidekiq::Worker
  sidekiq_options retry: 2

  def perform(product)
    Shop.done("register", product)
  end
end

# Fails until somebody repairs the shop.
class Refuse
  include Sidekiq::Worker
  sidekiq_options retry: 2

  def perform(product)
    broken = Sidekiq.redis { |connection| connection.get("repaired") }.nil?
    raise ArgumentError, "product #{product} has no category" if broken
    Shop.done("refuse", product)
  end
end

# Fails once and for all.
class Give
  include Sidekiq::Worker
  sidekiq_options retry: 0

  def perform(product)
    broken = Sidekiq.redis { |connection| connection.get("repaired") }.nil?
    raise KeyError, "no product #{product}, token=geheim" if broken
    Shop.done("give", product)
  end
end

# Works until it is told to end.
class Linger
  include Sidekiq::Worker

  def perform(product)
    Shop.done("lingering", product)
    sleep 0.1 while Sidekiq.redis { |connection| connection.get("leave") }.nil?
    Shop.done("linger", product)
  end
end
